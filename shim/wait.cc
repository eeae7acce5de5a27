// SPDX-License-Identifier: Apache-2.0
#include "shim/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/wire/control.h"
#include "shim/block.h"
#include "shim/exit.h"
#include "shim/protocol.h"

namespace cellrun::shim {
namespace {

constexpr int kDenied = 126;  // "found, but not executable", as a shell says it

// Static: the stack may be as small as the caller chose.
struct Answer {
  wire::ShimMessage message;
  char text[wire::kMaxShimText];
};
Answer answer;
rlimit file_limit;  // the caller's, put back before an exec

void Say(const char* text, size_t bytes) {
  // A reader that has gone must not turn the exit status into SIGPIPE's. Only before the end: an
  // ignored signal would survive an exec.
  signal(SIGPIPE, SIG_IGN);
  WriteAll(STDERR_FILENO, text, bytes);
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

void ReceiveAnswer(int channel, Packet& packet) {
  while (true) {
    switch (ReceivePacket(channel, &answer, sizeof answer, 0, packet)) {
      case Received::kPacket:
        return;
      case Received::kNothing: {
        pollfd wait{.fd = channel, .events = POLLIN, .revents = 0};
        poll(&wait, 1, -1);
        break;
      }
      case Received::kEnd:
        Refuse("cellrun: denied: the broker gave no answer\n");
    }
  }
}

[[noreturn]] void Explain() {
  Say(answer.text, answer.message.payload_bytes);
  Exit(answer.message.status);
}

[[noreturn]] void ExecuteApproved(int channel, Packet& packet) {
  const wire::ShimMessage& message = answer.message;
  const uint64_t strings =
      1 + uint64_t{message.argument_count} + uint64_t{message.environment_count};
  Block block;
  Command command;
  if (message.argument_count == 0 || packet.fd_count != 1 ||
      MapBlock(packet.fds[0], message.block_bytes, strings, block) != 0 ||
      PointInto(block, message.argument_count, message.environment_count,
                /*has_directory=*/false, command) != 0) {
    Refuse("cellrun: the approved command could not be read\n");
  }
  CloseFds(packet);
  close(channel);
  if (file_limit.rlim_max != 0) setrlimit(RLIMIT_NOFILE, &file_limit);
  execve(command.program, command.arguments, command.environment);
  constexpr char kPrefix[] = "cellrun: the approved command could not be executed: ";
  // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
  const char* reason = strerror(errno);
  Say(kPrefix, sizeof kPrefix - 1);
  Say(reason, strlen(reason));
  Say("\n", 1);
  Exit(kDenied);
}

}  // namespace

void RunWaitingRoom() {
  RaiseFileLimit();
  FillStreams();
  const int channel = AskForChannel();
  if (channel <= STDERR_FILENO) Refuse("cellrun: denied: the broker cannot be reached\n");
  Packet packet;
  ReceiveAnswer(channel, packet);
  if (packet.truncated || packet.bytes < sizeof answer.message ||
      answer.message.payload_bytes != packet.bytes - sizeof answer.message) {
    Refuse("cellrun: denied: the broker's answer is not understood\n");
  }
  if (answer.message.order == wire::kShimExplain) Explain();
  if (answer.message.order == wire::kShimExec) ExecuteApproved(channel, packet);
  Refuse("cellrun: denied: the broker's answer is not understood\n");
}

}  // namespace cellrun::shim
