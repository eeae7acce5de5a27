// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/tracee.h"

#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <optional>
#include <utility>

#include "lib/base/log.h"
#include "lib/sys/process.h"
#include "lib/sys/ptrace.h"
#include "lib/sys/thread.h"

namespace cellrun::exec {
namespace {

constexpr unsigned long kOptions = PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
constexpr std::chrono::milliseconds kShortTick{200};
constexpr int kSyscallStop = SIGTRAP | 0x80;

}  // namespace

Result<Tracee> Tracee::Seize(pid_t tid, pid_t tgid, notify::Lane& lane) {
  TRY(sys::PtraceSeize(tid, kOptions));
  return Tracee(tid, tgid, lane);
}
Tracee::Tracee(Tracee&& other) noexcept
    : pid_(other.pid_),
      tgid_(other.tgid_),
      lane_(other.lane_),
      attached_(std::exchange(other.attached_, false)) {}
Tracee::~Tracee() {
  if (attached_) Kill();
}

void Tracee::Interrupt() {
  // ESRCH: it died; Wait says so.
  (void)sys::PtraceInterrupt(pid_);
}

Tracee::Stop Tracee::Classify(int status) {
  if (WIFEXITED(status) || WIFSIGNALED(status)) {
    attached_ = false;
    return {Stop::Kind::kGone, WIFSIGNALED(status) ? WTERMSIG(status) : 0};
  }
  const int signal = WSTOPSIG(status);
  switch (status >> 16) {
    case PTRACE_EVENT_EXEC:
      return {Stop::Kind::kExec, 0};
    case PTRACE_EVENT_STOP:
      return {Stop::Kind::kTrap, 0};
    default:
      return {signal == kSyscallStop ? Stop::Kind::kSyscall : Stop::Kind::kSignal, signal};
  }
}

Tracee::Stop Tracee::Wait(std::chrono::nanoseconds deadline) {
  // Any child, but only of this thread: it forks nothing, so that is the tracee under whatever
  // number. Waiting for a number would miss the exec of a thread that is not the leader: it
  // happens under the leader's number, and nobody is woken for the old one.
  constexpr int kAnyOfThisThread = -1;
  const bool soon = deadline - sys::MonotonicNow() < std::chrono::seconds(2);
  soon ? lane_->Tick(kShortTick) : lane_->TickSlowly();
  for (;;) {
    const Result<std::optional<sys::WaitStatus>> changed =
        sys::WaitPid(kAnyOfThisThread, __WALL | __WNOTHREAD);
    if (changed.ok()) {
      pid_ = changed.value()->pid;
      return Classify(changed.value()->status);
    }
    if (changed.error().code() == ECHILD) {
      attached_ = false;  // reaped by nobody else, so it was never attached
      return {Stop::Kind::kGone, 0};
    }
    // Whatever else it may be, nothing is known of the task any more: its caller kills it.
    if (changed.error().code() != EINTR) return {Stop::Kind::kOverdue, 0};
    if (lane_->stopping()) return {Stop::Kind::kStopping, 0};
    if (sys::MonotonicNow() >= deadline) return {Stop::Kind::kOverdue, 0};
  }
}

void Tracee::Detach(int signal) {
  if (!attached_) return;
  const Result<void> detached = sys::PtraceDetach(pid_, signal);
  if (detached.ok()) {
    attached_ = false;
  } else if (detached.error().code() == ESRCH) {
    Reap();  // killed in its stop
  } else {
    Kill();
  }
}

Result<void> Tracee::ResumeToSyscall(int signal) {
  return sys::PtraceSyscall(pid_, signal);
}
Result<user_regs_struct> Tracee::Registers() const {
  return sys::PtraceGetRegisters(pid_);
}
Result<void> Tracee::SetRegisters(const user_regs_struct& registers) {
  return sys::PtraceSetRegisters(pid_, registers);
}

void Tracee::Kill() {
  if (!attached_) return;
  // Not yet reaped, so the number is still its own.
  const Result<void> killed = sys::Kill(tgid_, SIGKILL);
  if (!killed.ok() && killed.error().code() != ESRCH) {
    log::Fail("a task cannot be killed", {{"pid", tgid_}, {"error", killed.error().ToString()}});
    // Its tracer still may, if it is stopped.
    if (sys::PtraceDetach(pid_, SIGKILL).ok()) attached_ = false;
  }
  Reap();
}

void Tracee::Reap() {
  int failures = 0;
  while (attached_) {
    const Result<std::optional<sys::WaitStatus>> changed = sys::WaitPid(-1, __WALL | __WNOTHREAD);
    if (!changed.ok() && changed.error().code() == EINTR) continue;
    if (!changed.ok()) {
      // ECHILD: it was never attached, or has been reaped.
      attached_ = changed.error().code() != ECHILD && ++failures < 3;
      continue;
    }
    pid_ = changed.value()->pid;
    const Stop stop = Classify(changed.value()->status);
    // A stop that was reported before the kill.
    if (attached_) (void)sys::PtraceDetach(pid_, stop.signal);
  }
}

}  // namespace cellrun::exec
