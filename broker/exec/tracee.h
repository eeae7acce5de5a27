// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <chrono>

#include "broker/notify/receivers.h"
#include "lib/base/result.h"

namespace cellrun::exec {

// A task that the calling thread has seized. Whatever happens it is given up properly: detached, or
// killed and reaped (an unreaped tracee would keep its pid namespace alive). Everything on the
// thread that made it; one at a time.
class Tracee {
 public:
  struct Stop {
    enum class Kind {
      kExec,      // committed: the new image, before its first instruction
      kTrap,      // interrupted, or a group-stop: on its way back to user mode
      kSignal,    // about to get `signal`; it is lost unless it is given on
      kSyscall,   // entering or leaving a system call
      kGone,      // dead and reaped
      kOverdue,   // the deadline passed; it is running
      kStopping,  // the supervisor ends; it is running
    };
    Kind kind = Kind::kGone;
    int signal = 0;
  };

  // EPERM: somebody else traces it, or the broker may not. ESRCH: gone.
  static Result<Tracee> Seize(pid_t tid, pid_t tgid, notify::Lane& lane);
  Tracee(Tracee&& other) noexcept;
  Tracee& operator=(Tracee&&) = delete;
  Tracee(const Tracee&) = delete;
  Tracee& operator=(const Tracee&) = delete;
  ~Tracee();  // Kill, if it still is attached

  // Its number now: an exec of another thread than the leader takes over the leader's.
  [[nodiscard]] pid_t pid() const noexcept { return pid_; }
  void Interrupt();
  [[nodiscard]] Stop Wait(std::chrono::nanoseconds deadline);  // of sys::MonotonicNow()
  // Lets a stopped tracee go, with a signal (0 for none). If it was killed meanwhile, reaps it.
  void Detach(int signal);
  // Lets it run to the next system call's entry or exit.
  [[nodiscard]] Result<void> ResumeToSyscall(int signal);
  [[nodiscard]] Result<user_regs_struct> Registers() const;
  [[nodiscard]] Result<void> SetRegisters(const user_regs_struct& registers);
  // Its whole thread group, and waits for its end.
  void Kill();

 private:
  Tracee(pid_t tid, pid_t tgid, notify::Lane& lane) noexcept
      : pid_(tid), tgid_(tgid), lane_(&lane) {}
  void Reap();
  [[nodiscard]] Stop Classify(int status);

  pid_t pid_;
  pid_t tgid_;
  notify::Lane* lane_;
  bool attached_ = true;
};

}  // namespace cellrun::exec
