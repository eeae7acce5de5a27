// SPDX-License-Identifier: Apache-2.0
#include "shim/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lib/wire/run.h"
#include "shim/exec.h"
#include "shim/exit.h"
#include "shim/protocol.h"
#include "shim/spawn.h"

namespace cellrun::shim {
namespace {

using wire::ControlHeader;

constexpr int kSocket = wire::kControlFd;  // over the keeper's copy of init's

alignas(8) char order_bytes[sizeof(ControlHeader) + sizeof(wire::RunCommand)];

// Init's memory is copied by the fork, so what starts out empty is only set here.
struct Keeper {
  wire::RunCommand order;
  Packet packet;
  Block block;
  int signal_fd;
  int master;        // -1: the command has no terminal
  int terminal;      // its other side, until the command has it
  int go_pipe;       // the command's process waits for its end
  int failure_pipe;  // -1 once it has been read
  pid_t command;
  bool ended;
};
Keeper keeper = {.order = {},
                 .packet = {},
                 .block = {},
                 .signal_fd = -1,
                 .master = -1,
                 .terminal = -1,
                 .go_pipe = -1,
                 .failure_pipe = -1,
                 .command = 0,
                 .ended = false};

int LastError(long result) {
  return result < 0 ? errno : 0;
}

void Tell(uint32_t type, int32_t a, int32_t b = 0, int fd = -1) {
  ControlHeader header{};
  header.type = type;
  header.a = a;
  header.b = b;
  // A broker that is gone shows as end of file too.
  (void)SendPacket(kSocket, header, nullptr, fd);
}

// ---- The end of everything below.

bool KillChildren() {
  const int list = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (list < 0) return false;
  char text[4096];
  pid_t pid = 0;
  ssize_t bytes = 0;
  while ((bytes = read(list, text, sizeof text)) > 0) {
    for (ssize_t i = 0; i < bytes; i++) {
      if (text[i] >= '0' && text[i] <= '9') {
        pid = pid * 10 + (text[i] - '0');
      } else {
        if (pid > 1) kill(pid, SIGKILL);
        pid = 0;
      }
    }
  }
  close(list);
  return bytes == 0;
}

// What is orphaned by a kill becomes a child of this process, whichever group or session it has
// moved to, and is killed in the next round.
[[noreturn]] void KillAll() {
  constexpr int kRoundMs = 20;
  while (true) {
    if (!KillChildren() && keeper.command > 1) {
      // Without the list of children (CONFIG_PROC_CHILDREN) the command's group is what is known.
      kill(-keeper.command, SIGKILL);
      kill(keeper.command, SIGKILL);
    }
    while (true) {
      const pid_t pid = waitpid(-1, nullptr, WNOHANG | __WALL);
      if (pid < 0 && errno == EINTR) continue;
      if (pid < 0) Exit(0);  // ECHILD: nothing is left
      if (pid == 0) break;
    }
    signalfd_siginfo ignored{};
    while (read(keeper.signal_fd, &ignored, sizeof ignored) > 0) {
    }
    pollfd wait{.fd = keeper.signal_fd, .events = POLLIN, .revents = 0};
    poll(&wait, 1, kRoundMs);
  }
}

// What the command has left behind runs on, as it would have below its caller. The terminal goes
// with this process, its session's leader: nothing of the command may be in its foreground then.
[[noreturn]] void Leave() {
  const pid_t own = getpgrp();
  if (keeper.master >= 0) ioctl(keeper.master, TIOCSPGRP, &own);
  Exit(0);
}

// ---- The command's own process, each step 0 or an errno.

bool IsTerminal(uint32_t number) {
  const uint64_t bit = uint64_t{1} << (number % 64);
  return (keeper.order.surroundings.terminals[number / 64] & bit) != 0;
}

uint32_t FirstGiven() {
  return 1 + keeper.order.has_directory;
}

int EnterDirectory() {
  if (keeper.order.has_directory != 0) return LastError(fchdir(keeper.packet.fds[1]));
  return LastError(chdir(keeper.block.start + strlen(keeper.block.start) + 1));
}

// Above every number that the command gets, and no further: few may be open in this cell.
int FirstUnused() {
  int first = STDERR_FILENO + 1;
  const wire::RunSurroundings& with = keeper.order.surroundings;
  for (uint32_t i = 0; i < with.count; i++) {
    if (with.numbers[i] >= first) first = with.numbers[i] + 1;
  }
  for (uint32_t number = 0; number < wire::kMaxRunNumber; number++) {
    if (IsTerminal(number) && static_cast<int>(number) >= first)
      first = static_cast<int>(number) + 1;
  }
  return first;
}

int PlaceDescriptors() {
  const wire::RunSurroundings& with = keeper.order.surroundings;
  const int parking = FirstUnused();
  int parked[wire::kMaxRunDescriptors];
  for (uint32_t i = 0; i < with.count; i++) {
    parked[i] = fcntl(keeper.packet.fds[FirstGiven() + i], F_DUPFD_CLOEXEC, parking);
    if (parked[i] < 0) return errno;
  }
  int terminal = -1;
  if (keeper.terminal >= 0) {
    terminal = fcntl(keeper.terminal, F_DUPFD_CLOEXEC, parking);
    if (terminal < 0) return errno;
  }
  const int failure = fcntl(keeper.failure_pipe, F_DUPFD_CLOEXEC, parking);
  if (failure < 0) return errno;
  keeper.failure_pipe = failure;
  // Everything below that is not the caller's is gone: also its closed streams are closed. What is
  // above goes with the exec.
  if (syscall(SYS_close_range, 0, parking - 1, 0) != 0) return errno;
  for (uint32_t i = 0; i < with.count; i++) {
    if (dup2(parked[i], with.numbers[i]) < 0) return errno;
  }
  for (uint32_t number = 0; number < wire::kMaxRunNumber; number++) {
    if (terminal >= 0 && IsTerminal(number) && dup2(terminal, static_cast<int>(number)) < 0)
      return errno;
  }
  return 0;
}

int SetLimits() {
  const int lowered = LowerFileLimit();
  if (lowered != 0) return lowered;
  const wire::RunSurroundings& with = keeper.order.surroundings;
  for (uint32_t i = 0; i < wire::kRunLimits; i++) {
    rlimit own{};
    if (getrlimit(static_cast<int>(i), &own) != 0) return errno;
    if (with.limits[i].hard < own.rlim_max) own.rlim_max = with.limits[i].hard;
    own.rlim_cur = with.limits[i].soft < own.rlim_max ? with.limits[i].soft : own.rlim_max;
    if (setrlimit(static_cast<int>(i), &own) != 0) return errno;
  }
  umask(with.umask & 0777);
  if (with.nice > 0) setpriority(PRIO_PROCESS, 0, with.nice);
  return 0;
}

int Execute() {
  Command command;
  const int code =
      PointInto(keeper.block, keeper.order.argument_count, keeper.order.environment_count,
                /*has_directory=*/true, command);
  if (code != 0) return code;
  const wire::RunSurroundings& with = keeper.order.surroundings;
  // The kernel's struct: handler, flags, restorer, mask.
  constexpr unsigned long kIgnore[4] = {1, 0, 0, 0};
  for (unsigned number = 1; number <= 64; number++) {
    if ((with.ignored >> (number - 1) & 1) != 0)
      syscall(SYS_rt_sigaction, number, kIgnore, nullptr, sizeof(uint64_t));
  }
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &with.blocked, nullptr, sizeof with.blocked);
  return ExecInPath(command);
}

struct Step {
  wire::SpawnStep name;
  int (*run)();
};
constexpr Step kSteps[] = {
    {wire::kStepWorkingDirectory, EnterDirectory},
    {wire::kStepStreams, PlaceDescriptors},
    {wire::kStepLimits, SetLimits},  // after the streams: they take numbers that a limit may forbid
    {wire::kStepExec, Execute},
};

[[noreturn]] void BecomeCommand(int go) {
  setpgid(0, 0);
  Tell(wire::kRunReady, 0);
  char word = 0;
  ssize_t bytes = -1;
  while ((bytes = read(go, &word, 1)) < 0 && errno == EINTR) {
  }
  if (bytes != 1) Exit(126);  // the keeper has gone
  SpawnFailure failure{.step = wire::kStepExec, .code = 0};
  for (const Step& step : kSteps) {
    failure = {.step = step.name, .code = step.run()};
    if (failure.code != 0) break;
  }
  (void)!write(keeper.failure_pipe, &failure, sizeof failure);
  Exit(failure.step == wire::kStepExec && failure.code == ENOENT ? 127 : 126);
}

// ---- The keeper.

[[noreturn]] void Fail(wire::SpawnStep step, int code) {
  Tell(wire::kRunFailed, code, step);
  Exit(1);
}

void OpenTerminal() {
  const wire::RunSurroundings& with = keeper.order.surroundings;
  bool wanted = false;
  for (const uint64_t word : with.terminals) wanted = wanted || word != 0;
  if (!wanted) return;
  int code = OpenMaster(with.rows, with.columns, keeper.master);
  if (code != 0) Fail(wire::kStepTerminal, code);
  keeper.terminal = ioctl(keeper.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (keeper.terminal < 0) Fail(wire::kStepTerminal, errno);
  // Settings that make no sense are refused or changed by the kernel.
  ioctl(keeper.terminal, TCSETS, with.terminal_settings);
  code = LastError(ioctl(keeper.terminal, TIOCSCTTY, 0));
  if (code != 0) Fail(wire::kStepTerminal, code);
  Tell(wire::kRunTerminal, 0, 0, keeper.master);
}

void SetForeground(bool on) {
  if (keeper.master < 0 || keeper.command <= 0) return;
  const pid_t group = on ? keeper.command : getpgrp();
  ioctl(keeper.master, TIOCSPGRP, &group);
}

void CheckOrder() {
  const wire::RunSurroundings& with = keeper.order.surroundings;
  bool good = keeper.order.argument_count != 0 && with.count <= wire::kMaxRunDescriptors &&
              keeper.order.has_directory <= 1 &&
              keeper.packet.fd_count == FirstGiven() + with.count;
  if (!good) Fail(wire::kStepStreams, EPROTO);
  const uint64_t strings =
      2 + uint64_t{keeper.order.argument_count} + uint64_t{keeper.order.environment_count};
  const int code = MapBlock(keeper.packet.fds[0], keeper.order.block_bytes, strings, keeper.block);
  if (code != 0) Fail(wire::kStepStreams, code);
}

void Start() {
  CheckOrder();
  OpenTerminal();
  int go[2] = {-1, -1};
  int failure[2] = {-1, -1};
  if (pipe2(go, O_CLOEXEC) != 0 || pipe2(failure, O_CLOEXEC | O_NONBLOCK) != 0)
    Fail(wire::kStepFork, errno);
  keeper.failure_pipe = failure[1];
  const pid_t pid = fork();
  if (pid < 0) Fail(wire::kStepFork, errno);
  if (pid == 0) {
    close(go[1]);
    BecomeCommand(go[0]);
  }
  keeper.command = pid;
  setpgid(pid, pid);
  SetForeground(keeper.order.surroundings.foreground != 0);
  close(go[0]);
  close(failure[1]);
  keeper.go_pipe = go[1];
  keeper.failure_pipe = failure[0];
  if (keeper.terminal >= 0) close(keeper.terminal);
  keeper.terminal = -1;
  CloseFds(keeper.packet);
  UnmapBlock(keeper.block);
}

void Carry(const ControlHeader& header) {
  switch (header.type) {
    case wire::kRunOrder:
      if (keeper.command != 0) KillAll();
      memcpy(&keeper.order, order_bytes + sizeof header, sizeof keeper.order);
      return Start();
    case wire::kRunGo:
      if (keeper.go_pipe < 0) return;
      (void)!write(keeper.go_pipe, "", 1);
      close(keeper.go_pipe);
      keeper.go_pipe = -1;
      return;
    case wire::kRunSignal:
      // Not reaped before `ended`, so the number still belongs to it.
      if (keeper.command == 0 || keeper.ended || header.a < 1 || header.a > 64) return;
      kill(header.b == 1 ? -keeper.command : keeper.command, header.a);
      return;
    case wire::kRunForeground:
      return SetForeground(header.a != 0);
    default:
      KillAll();
  }
}

void ServeBroker() {
  Packet packet;
  switch (ReceivePacket(kSocket, order_bytes, sizeof order_bytes, MSG_DONTWAIT, packet)) {
    case Received::kNothing:
      return;
    case Received::kEnd:
      if (keeper.ended) Leave();
      KillAll();
    case Received::kPacket:
      break;
  }
  ControlHeader header{};
  if (packet.truncated || packet.bytes < sizeof header) KillAll();
  memcpy(&header, order_bytes, sizeof header);
  const size_t expected = header.type == wire::kRunOrder ? sizeof(wire::RunCommand) : 0;
  if (packet.bytes != sizeof header + expected) KillAll();
  if (header.type == wire::kRunOrder) {
    keeper.packet = packet;
  } else {
    CloseFds(packet);
  }
  Carry(header);
}

void ReadFailure() {
  if (keeper.failure_pipe < 0) return;
  SpawnFailure failure{};
  const ssize_t bytes = read(keeper.failure_pipe, &failure, sizeof failure);
  if (bytes < 0 && (errno == EAGAIN || errno == EINTR)) return;
  close(keeper.failure_pipe);
  keeper.failure_pipe = -1;
  if (bytes == ssize_t{sizeof failure})
    Fail(static_cast<wire::SpawnStep>(failure.step), failure.code);
}

void Reap() {
  signalfd_siginfo ignored{};
  while (read(keeper.signal_fd, &ignored, sizeof ignored) > 0) {
  }
  while (true) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED | __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid <= 0) return;
    if (pid != keeper.command || keeper.ended) continue;
    if (WIFSTOPPED(status)) {
      Tell(wire::kRunStopped, WSTOPSIG(status));
      continue;
    }
    ReadFailure();  // does not return if there was one
    keeper.ended = true;
    Tell(wire::kRunEnded, status);
  }
}

void TakeOver(int socket) {
  // First: init's control socket must not have another holder.
  if (dup3(socket, kSocket, O_CLOEXEC) < 0) Exit(1);
  syscall(SYS_close_range, kSocket + 1, ~0U, 0);
  setsid();
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  keeper.signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (keeper.signal_fd < 0) Fail(wire::kStepFork, errno);
}

}  // namespace

void RunKeeper(int socket) {
  TakeOver(socket);
  while (true) {
    pollfd polled[3] = {
        {.fd = kSocket, .events = POLLIN, .revents = 0},
        {.fd = keeper.signal_fd, .events = POLLIN, .revents = 0},
        {.fd = keeper.failure_pipe, .events = POLLIN, .revents = 0},  // -1 is passed over
    };
    if (poll(polled, 3, -1) < 0 && errno != EINTR) KillAll();
    if (polled[1].revents != 0) Reap();
    if (polled[2].revents != 0) ReadFailure();
    if (polled[0].revents != 0) ServeBroker();
  }
}

}  // namespace cellrun::shim
