// SPDX-License-Identifier: Apache-2.0
#include "shim/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/exec.h"
#include "shim/exit.h"

namespace cellrun::shim {
namespace {

constexpr uint32_t kAnyTerminal =
    wire::kSpawnStdinTerminal | wire::kSpawnStdoutTerminal | wire::kSpawnStderrTerminal;
constexpr uint32_t kTerminalFlags[3] = {wire::kSpawnStdinTerminal, wire::kSpawnStdoutTerminal,
                                        wire::kSpawnStderrTerminal};
// In the child, over its copy of the control socket, so that one range can be closed behind it.
constexpr int kFailureFd = wire::kControlFd;

struct Child {
  const SpawnPlan& plan;
  int master;    // of the PTY, or -1
  int terminal;  // its other side, once opened
};

int LastError(long result) {
  return result < 0 ? errno : 0;
}

// ---- The steps of the child, each 0 or an errno.

int OpenTerminal(Child& child) {
  setsid();  // cannot fail: a fresh child leads no group. First: only a session's leader may own a
             // terminal
  if (child.master < 0) return 0;
  child.terminal = ioctl(child.master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (child.terminal < 0) return errno;
  return LastError(ioctl(child.terminal, TIOCSCTTY, 0));
}

// Streams that are neither given nor the terminal keep init's /dev/null.
int ConnectStreams(Child& child) {
  for (int i = 0; i < 3; i++) {
    const bool is_terminal = (child.plan.order.flags & kTerminalFlags[i]) != 0;
    const int source = is_terminal ? child.terminal : child.plan.streams[i];
    if (source >= 0 && dup2(source, i) < 0) return errno;
  }
  return LastError(syscall(SYS_close_range, kFailureFd + 1, ~0U, 0));
}

int LowerLimits(Child&) {
  return LowerFileLimit();
}

int Execute(Child& child) {
  Command command;
  const wire::SpawnOrder& order = child.plan.order;
  const int code = PointInto(child.plan.block, order.argument_count, order.environment_count,
                             /*has_directory=*/true, command);
  if (code != 0) return code;
  // Raw: the library hides three signals from its callers, and the kernel's set has 8 bytes.
  constexpr uint64_t kNoSignals = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &kNoSignals, nullptr, sizeof kNoSignals);
  return ExecInPath(command);
}

int EnterDirectory(Child& child) {
  const char* program = child.plan.block.start;
  while (*program != '\0') program++;
  return LastError(chdir(program + 1));
}

struct Step {
  wire::SpawnStep name;
  int (*run)(Child&);
};
constexpr Step kSteps[] = {
    {wire::kStepTerminal, OpenTerminal},
    {wire::kStepStreams, ConnectStreams},
    {wire::kStepLimits, LowerLimits},
    {wire::kStepWorkingDirectory, EnterDirectory},  // after the streams: nothing of init's is left
    {wire::kStepExec, Execute},
};

[[noreturn]] void RunChild(const SpawnPlan& plan, int master, int failure_pipe) {
  Child child{.plan = plan, .master = master, .terminal = -1};
  SpawnFailure failure{.step = wire::kStepStreams, .code = 0};
  if (dup3(failure_pipe, kFailureFd, O_CLOEXEC) < 0) Exit(126);
  for (const Step& step : kSteps) {
    failure = {.step = step.name, .code = step.run(child)};
    if (failure.code != 0) break;
  }
  (void)!write(kFailureFd, &failure, sizeof failure);  // init sees the exit in any case
  Exit(failure.step == wire::kStepExec && failure.code == ENOENT ? 127 : 126);
}

}  // namespace

int LowerFileLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return errno;
  const rlim_t quarter = limit.rlim_max / 4;
  limit.rlim_max -= quarter < wire::kReservedFiles ? quarter : rlim_t{wire::kReservedFiles};
  if (limit.rlim_cur > limit.rlim_max) limit.rlim_cur = limit.rlim_max;
  return LastError(setrlimit(RLIMIT_NOFILE, &limit));
}

int OpenMaster(uint16_t rows, uint16_t columns, int& master) {
  master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0) return errno;
  int unlocked = 0;
  if (ioctl(master, TIOCSPTLCK, &unlocked) != 0) return errno;
  const winsize size{.ws_row = rows, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
  return LastError(ioctl(master, TIOCSWINSZ, &size));
}

Spawned Spawn(const SpawnPlan& plan, SpawnFailure& failure) {
  Spawned spawned;
  failure = {.step = wire::kStepTerminal, .code = 0};
  if ((plan.order.flags & kAnyTerminal) != 0) {
    failure.code = OpenMaster(plan.order.rows, plan.order.columns, spawned.terminal);
  }
  int ends[2] = {-1, -1};
  if (failure.code == 0) {
    failure = {.step = wire::kStepFork, .code = LastError(pipe2(ends, O_CLOEXEC | O_NONBLOCK))};
  }
  if (failure.code == 0) {
    spawned.pid = fork();
    if (spawned.pid == 0) RunChild(plan, spawned.terminal, ends[1]);
    failure.code = LastError(spawned.pid);
  }
  if (ends[1] >= 0) close(ends[1]);
  if (failure.code == 0) {
    spawned.failure_pipe = ends[0];
    return spawned;
  }
  if (ends[0] >= 0) close(ends[0]);
  if (spawned.terminal >= 0) close(spawned.terminal);
  return Spawned();
}

}  // namespace cellrun::shim
