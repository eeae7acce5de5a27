// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/redirect.h"

#include <fcntl.h>
#include <sys/syscall.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <utility>

#include "broker/exec/exec_call.h"
#include "broker/exec/judge.h"
#include "broker/exec/task.h"
#include "broker/exec/tracee.h"
#include "broker/exec/verify.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/ptrace.h"
#include "lib/sys/seccomp.h"

namespace cellrun::exec {
namespace {

constexpr std::chrono::seconds kStopLimit{30};  // slow, but it must come
// Without a stop: one under a storm of signals moves only between two of them.
constexpr std::chrono::seconds kSecondCallLimit{1};
// Who has had less of a processor is not to blame: it takes a thousandth to get to the call.
constexpr std::chrono::milliseconds kFairShare{50};
constexpr std::chrono::seconds kFollowLimit{30};  // whatever happens meanwhile
constexpr std::uint64_t kSyscallBytes = 2;        // of the instruction
constexpr auto kNoSyscall = static_cast<unsigned long long>(-1);

std::int64_t ReturnValue(const user_regs_struct& registers) {
  return static_cast<std::int64_t>(registers.rax);
}
// ERESTARTSYS to ERESTART_RESTARTBLOCK: the kernel will make the call again.
bool WillRestart(const user_regs_struct& registers) {
  return ReturnValue(registers) <= -512 && ReturnValue(registers) >= -516;
}

}  // namespace

// One redirect, on the thread that is attached.
class Redirector::Run {
 public:
  Run(const Redirector& redirector, const seccomp_notif& notification, pid_t tgid, Tracee tracee)
      : redirector_(redirector),
        notification_(notification),
        tgid_(tgid),
        tracee_(std::move(tracee)) {}

  Outcome Execute(std::uint64_t path_end, Ticket ticket) {
    const Result<int> number =
        sys::SeccompAddFd(redirector_.listener_.fd(), notification_.id, redirector_.facts_.shim);
    // ENOENT: a signal took the call back before the descriptor came (no WAIT_KILLABLE_RECV).
    if (!number.ok() && number.error().code() == ENOENT) return LetItComeAgain();
    // Interrupted before it is answered, or the error would be seen by the program.
    tracee_.Interrupt();
    redirector_.listener_.Refuse(notification_.id, EACCES);
    for (const std::uint64_t id :
         redirector_.attachments_.Advance(tgid_, Attachments::Stage::kRedirecting)) {
      redirector_.listener_.Refuse(id, EACCES);
    }
    const Tracee::Stop stop = tracee_.Wait(sys::MonotonicNow() + kStopLimit);
    if (stop.kind == Tracee::Stop::Kind::kGone) return Outcome::kGone;
    if (stop.kind != Tracee::Stop::Kind::kTrap && stop.kind != Tracee::Stop::Kind::kSignal) {
      return Kill();
    }
    const Result<user_regs_struct> registers = tracee_.Registers();
    if (!registers.ok()) return Kill();
    before_ = registers.value();
    if (!IsStillThere()) {
      // Interrupted by a signal before the answer came: it runs the handler, or asks again.
      Release(stop.signal);
      return Outcome::kGone;
    }
    // EMFILE: no room for the descriptor. A plain denial.
    if (!number.ok()) return GiveUp(stop.signal);
    if (!Aim(number.value(), path_end)) return Kill();
    const Outcome outcome = Follow(stop.signal, std::move(ticket));
    redirector_.attachments_.Forget(static_cast<pid_t>(notification_.pid));
    return outcome;
  }

 private:
  // On its way out of the very call that was judged.
  [[nodiscard]] bool IsStillThere() const {
    const auto& arguments = notification_.data.args;
    return static_cast<int>(before_.orig_rax) == notification_.data.nr &&
           before_.rdi == arguments[0] && before_.rsi == arguments[1] &&
           before_.rdx == arguments[2] && before_.r10 == arguments[3] && before_.r8 == arguments[4];
  }
  // Nothing was answered, so the kernel makes the call again, or has already and it is held: it is
  // judged again.
  Outcome LetItComeAgain() {
    tracee_.Interrupt();
    for (const std::uint64_t id :
         redirector_.attachments_.Advance(tgid_, Attachments::Stage::kInterrupted)) {
      redirector_.listener_.Refuse(id, Attachments::kRestartCall);
    }
    const Tracee::Stop stop = tracee_.Wait(sys::MonotonicNow() + kStopLimit);
    if (stop.kind == Tracee::Stop::Kind::kGone) return Outcome::kGone;
    if (stop.kind != Tracee::Stop::Kind::kTrap && stop.kind != Tracee::Stop::Kind::kSignal)
      return Kill();
    Release(stop.signal);
    return Outcome::kGone;
  }
  // From now on its calls are like any other's.
  void Release(int signal) {
    (void)redirector_.attachments_.Advance(tgid_, Attachments::Stage::kStopped);
    tracee_.Detach(signal);
  }
  Outcome Kill() {
    tracee_.Kill();
    return Outcome::kKilled;
  }
  // Lets the call that was asked for fail, as if nothing had been done.
  Outcome GiveUp(int signal) {
    user_regs_struct registers = before_;
    registers.rax = static_cast<unsigned long long>(-EACCES);
    registers.orig_rax = kNoSyscall;  // or an interrupted call would be made again
    if (!tracee_.SetRegisters(registers).ok()) return Kill();
    Release(signal);
    return Outcome::kRefused;
  }

  bool Aim(int number, std::uint64_t path_end) {
    const Result<ExecCall> call = ExecCall::Of(notification_.data);
    if (!call.ok()) return false;
    expected_ = {.number = SYS_execveat,
                 .arguments = {static_cast<std::uint64_t>(number), path_end, call->argv, call->env,
                               std::uint64_t{AT_EMPTY_PATH}}};
    user_regs_struct registers = before_;
    registers.rdi = expected_.arguments[0];
    registers.rsi = expected_.arguments[1];
    registers.rdx = expected_.arguments[2];
    registers.r10 = expected_.arguments[3];
    registers.r8 = expected_.arguments[4];
    // The same instruction once more. In this form also when a handler runs first: it returns to
    // the instruction, whatever the kernel's rules about restarting are.
    registers.rip -= kSyscallBytes;
    registers.rax = SYS_execveat;
    registers.orig_rax = kNoSyscall;
    return tracee_.SetRegisters(registers).ok();
  }

  [[nodiscard]] bool IsExpected(const user_regs_struct& registers) const {
    const Attachments::Call call{
        .number = static_cast<int>(registers.orig_rax),
        .arguments = {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8}};
    return call == expected_;
  }

  Tracee::Stop WaitForStop(std::chrono::nanoseconds end,
                           const Result<std::chrono::nanoseconds>& had) {
    while (true) {
      const auto now = sys::MonotonicNow();
      const Tracee::Stop stop =
          tracee_.Wait(std::min<std::chrono::nanoseconds>(end, now + kSecondCallLimit));
      if (stop.kind != Tracee::Stop::Kind::kOverdue || sys::MonotonicNow() >= end ||
          !(IsUnheard() || IsStarved(had))) {
        return stop;
      }
    }
  }
  // Ours to receive: hundreds of receivers may want a processor too.
  [[nodiscard]] bool IsUnheard() const {
    return announced_ && redirector_.attachments_.Expects(tracee_.pid());
  }
  // A machine with hundreds that want a processor gives it to each once in seconds: to the task, or
  // to this thread, which then finds it stopped after the time is over.
  [[nodiscard]] bool IsStarved(const Result<std::chrono::nanoseconds>& had) const {
    const Result<bool> under_way = IsUnderWay(tracee_.pid());
    const Result<std::chrono::nanoseconds> has = ProcessorTime(tracee_.pid());
    return had.ok() && has.ok() && under_way.ok() && *under_way && *has - *had < kFairShare;
  }

  // Until the shim's exec stop. Signals are given on; calls of their handlers pass.
  Outcome Follow(int signal, Ticket ticket) {
    const auto end = sys::MonotonicNow() + kFollowLimit;
    const auto had = ProcessorTime(tracee_.pid());
    while (true) {
      if (!tracee_.ResumeToSyscall(signal).ok()) return Kill();  // ESRCH: killed in its stop
      const Tracee::Stop stop = WaitForStop(end, had);
      signal = 0;
      switch (stop.kind) {
        case Tracee::Stop::Kind::kExec:
          return Finish(std::move(ticket));
        case Tracee::Stop::Kind::kSyscall: {
          const std::optional<Outcome> done = AtSyscall();
          if (done.has_value()) return *done;
          break;
        }
        case Tracee::Stop::Kind::kSignal:
        case Tracee::Stop::Kind::kTrap:
          // Such stops follow each other as fast as somebody sends signals.
          if (sys::MonotonicNow() >= end) return LetGo(stop);
          signal = stop.signal;
          break;
        case Tracee::Stop::Kind::kGone:
          return Outcome::kGone;
        case Tracee::Stop::Kind::kOverdue:
        case Tracee::Stop::Kind::kStopping:
          return Drop();
      }
    }
  }

  std::optional<Outcome> AtSyscall() {
    const Result<user_regs_struct> registers = tracee_.Registers();
    const Result<bool> entering = sys::PtraceAtSyscallEntry(tracee_.pid());
    if (!registers.ok() || !entering.ok()) return Kill();
    if (entering.value()) {
      if (IsExpected(registers.value())) {
        redirector_.attachments_.Expect(tracee_.pid(), expected_);
        announced_ = true;
      }
      return std::nullopt;
    }
    if (!announced_) return std::nullopt;
    redirector_.attachments_.Forget(tracee_.pid());
    announced_ = false;
    if (WillRestart(registers.value())) return std::nullopt;
    return GiveUp(0);  // the exec of the shim failed by itself
  }

  // Too late: a handler keeps it, or nobody received the call, or its exec does not end.
  Outcome Drop() {
    if (announced_) return Kill();
    tracee_.Interrupt();
    const Tracee::Stop stop = tracee_.Wait(sys::MonotonicNow() + kSecondCallLimit);
    return LetGo(stop);
  }
  Outcome LetGo(const Tracee::Stop& stop) {
    const bool stopped = stop.kind == Tracee::Stop::Kind::kTrap ||
                         stop.kind == Tracee::Stop::Kind::kSignal ||
                         stop.kind == Tracee::Stop::Kind::kSyscall;
    if (announced_ || !stopped) return Kill();
    Release(stop.kind == Tracee::Stop::Kind::kSignal ? stop.signal : 0);
    return Outcome::kRefused;
  }

  Outcome Finish(Ticket ticket) {
    const Result<struct stat> shim = sys::Fstat(redirector_.facts_.shim);
    if (!shim.ok()) return Kill();
    const Expectation expected{.image = FileVersion::Of(shim.value()), .image_hash = ""};
    notify::MemoryScratch unused;
    const Result<std::uint64_t> start_time = StartTime(tracee_.pid());
    if (!VerifyExec(tracee_, expected, unused).ok() || !start_time.ok()) return Kill();
    ticket.start_time = start_time.value();
    redirector_.tickets_.Add(tracee_.pid(), std::move(ticket));
    Release(0);
    return Outcome::kWaiting;
  }

  const Redirector& redirector_;
  const seccomp_notif& notification_;
  const pid_t tgid_;
  Tracee tracee_;
  user_regs_struct before_{};
  Attachments::Call expected_;
  bool announced_ = false;
};

Redirector::Outcome Redirector::Redirect(const seccomp_notif& notification, pid_t tgid,
                                         std::uint64_t path_end, Ticket ticket,
                                         notify::Lane& lane) const {
  // A descriptor of the shim stays in a table that siblings may share: it must not be writable in
  // any way, and that is a property of the mount.
  const bool read_only = facts_.shim.valid() && [&] {
    const Result<struct statvfs> mount = sys::Fstatvfs(facts_.shim);
    return mount.ok() && (mount->f_flag & ST_RDONLY) != 0;
  }();
  // Somebody else has to receive the second call.
  if (read_only && lane.EnsureReceiver()) {
    Result<Tracee> tracee = Tracee::Seize(static_cast<pid_t>(notification.pid), tgid, lane);
    if (tracee.ok()) {
      return Run(*this, notification, tgid, std::move(tracee).value())
          .Execute(path_end, std::move(ticket));
    }
  }
  listener_.Refuse(notification.id, EACCES);
  return Outcome::kRefused;
}

}  // namespace cellrun::exec
