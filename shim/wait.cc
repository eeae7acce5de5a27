// SPDX-License-Identifier: Apache-2.0
#include "shim/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/wire/control.h"
#include "shim/block.h"
#include "shim/exit.h"
#include "shim/protocol.h"
#include "shim/run.h"
#include "shim/time_left.h"

namespace cellrun::shim {
namespace {

constexpr int kDenied = 126;  // "found, but not executable", as a shell says it

// Static: the stack may be as small as the caller chose.
struct Answer {
  wire::ShimMessage message;
  char text[wire::kMaxShimText];
};
Answer answer;
rlimit file_limit;    // the caller's, put back before an exec
int failed_exec = 0;  // the errno of the last one
TimeLeft time_left;

// A reader that has gone must not turn the exit status into SIGPIPE's, or end the wait. Put back:
// an ignored signal would survive an exec.
void Say(const char* text, size_t bytes) {
  struct sigaction ignored {};
  struct sigaction before {};
  ignored.sa_handler = SIG_IGN;
  const bool set = sigaction(SIGPIPE, &ignored, &before) == 0;
  WriteAll(STDERR_FILENO, text, bytes);
  if (set) sigaction(SIGPIPE, &before, nullptr);
}

template <size_t kBytes>
[[noreturn]] void Refuse(const char (&text)[kBytes]) {
  Say(text, kBytes - 1);
  Exit(kDenied);
}

// A channel at 0, 1 or 2 would be taken for a stream. Placeholders close at the exec, so that what
// was closed is closed again then.
void FillStreams() {
  // Bounded: a stacked filter can make open answer 0 for ever.
  for (int tries = 0; tries <= STDERR_FILENO; tries++) {
    const int fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd > STDERR_FILENO) close(fd);
    if (fd < 0 || fd > STDERR_FILENO) return;
  }
}

// The channel and the memory file need numbers of their own, and the caller may have used up its
// soft limit.
void RaiseFileLimit() {
  if (getrlimit(RLIMIT_NOFILE, &file_limit) != 0) file_limit = {};
  if (file_limit.rlim_cur == file_limit.rlim_max) return;
  rlimit raised = file_limit;
  raised.rlim_cur = raised.rlim_max;
  setrlimit(RLIMIT_NOFILE, &raised);  // if not, the channel will be refused with EMFILE
}

int AskForChannel() {
  // Above 2, or it is no answer of the broker: a stacked filter can answer 0 or an error, nothing
  // else.
  return static_cast<int>(syscall(SYS_connect, wire::kChannelFd, wire::kChannelMagic, 0));
}

[[noreturn]] void RefuseAtEnd() {
  if (failed_exec == 0) Refuse("cellrun: denied: the broker gave no answer\n");
  constexpr char kPrefix[] = "cellrun: the approved command could not be executed: ";
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  const char* reason = strerror(failed_exec);
  Say(kPrefix, sizeof kPrefix - 1);
  Say(reason, strlen(reason));
  Say("\n", 1);
  Exit(kDenied);
}

// MSG_DONTWAIT: in poll the line of the time left can be redrawn, and a stop or a signal passes.
void ReceiveAnswer(int channel, Packet& packet) {
  while (true) {
    switch (ReceivePacket(channel, &answer, sizeof answer, MSG_DONTWAIT, packet)) {
      case Received::kPacket:
        return time_left.Clear();
      case Received::kNothing: {
        pollfd wait{.fd = channel, .events = POLLIN, .revents = 0};
        poll(&wait, 1, time_left.Show());
        break;
      }
      case Received::kEnd:
        time_left.Clear();
        RefuseAtEnd();
    }
  }
}

[[noreturn]] void Explain() {
  Say(answer.text, answer.message.payload_bytes);
  Exit(answer.message.status);
}

void Wait() {
  Say(answer.text, answer.message.payload_bytes);
  time_left.Start(answer.message.status);
}

struct Own {
  char** arguments;
  char** environment;
};

// Returns only if the command could not be executed.
void ExecuteApproved(int channel, Packet& packet, const Own& own) {
  const wire::ShimMessage& message = answer.message;
  const bool own_arguments = (message.flags & wire::kShimOwnArguments) != 0;
  const bool own_environment = (message.flags & wire::kShimOwnEnvironment) != 0;
  const uint64_t strings =
      1 + uint64_t{message.argument_count} + uint64_t{message.environment_count};
  Block block;
  Command command;
  if ((message.argument_count == 0) != own_arguments || packet.fd_count != 1 ||
      (own_environment && message.environment_count != 0) ||
      MapBlock(packet.fds[0], message.block_bytes, strings, block) != 0 ||
      PointInto(block, message.argument_count, message.environment_count,
                /*has_directory=*/false, command) != 0) {
    Refuse("cellrun: the approved command could not be read\n");
  }
  CloseFds(packet);
  if (file_limit.rlim_max != 0) setrlimit(RLIMIT_NOFILE, &file_limit);
  execve(command.program, own_arguments ? own.arguments : command.arguments,
         own_environment ? own.environment : command.environment);
  failed_exec = errno != 0 ? errno : EACCES;
  RaiseFileLimit();
  const wire::ShimMessage report{.order = wire::kShimFailed,
                                 .status = failed_exec,
                                 .argument_count = 0,
                                 .environment_count = 0,
                                 .block_bytes = 0,
                                 .payload_bytes = 0,
                                 .flags = 0};
  // Nobody there: the end of file follows.
  send(channel, &report, sizeof report, MSG_NOSIGNAL);
}

}  // namespace

void RunWaitingRoom(char** arguments, char** environment) {
  RaiseFileLimit();
  FillStreams();
  const int channel = AskForChannel();
  if (channel <= STDERR_FILENO) Refuse("cellrun: denied: the broker cannot be reached\n");
  const Own own{.arguments = arguments, .environment = environment};
  Packet packet;
  while (true) {
    ReceiveAnswer(channel, packet);
    if (packet.truncated || packet.bytes < sizeof answer.message ||
        answer.message.payload_bytes != packet.bytes - sizeof answer.message) {
      Refuse("cellrun: denied: the broker's answer is not understood\n");
    }
    switch (answer.message.order) {
      case wire::kShimExplain:
        Explain();
      case wire::kShimWait:
        Wait();
        CloseFds(packet);
        break;
      case wire::kShimExec:
        ExecuteApproved(channel, packet, own);
        break;
      case wire::kShimRun:
        RunElsewhere(channel, file_limit, answer.message.flags);
      default:
        Refuse("cellrun: denied: the broker's answer is not understood\n");
    }
  }
}

}  // namespace cellrun::shim
