// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/notify/cell_facts.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::notify {

// How often what was decided, since the start. A name that does not resolve is `missing`: it is
// answered at once and neither judged nor recorded.
struct Counters {
  std::uint64_t allowed = 0, asked = 0, denied = 0;  // execs and connections
  std::uint64_t missing = 0;
  std::uint64_t syscalls = 0;    // blocked calls, each one
  std::uint64_t mismatches = 0;  // execs killed because what ran was not what was judged
};

// Answers everything that a cell's seccomp listener reports: judges and verifies each execve, hands
// waiting rooms their channel, refuses connections, records blocked calls.
//
// It owns a leader/follower pool of threads. All idle ones block in SECCOMP_IOCTL_NOTIF_RECV; the
// one that takes a notification handles it to its end on its own thread, because a ptrace
// attachment belongs to the thread that made it, and there the thread can simply block in waitpid.
// Before it blocks it makes sure that somebody else receives. An idle cell has one thread.
//
// Every failure to judge is a denial. Thread-safe.
class Supervisor {
 public:
  // Called once, on a thread of the pool, when no task uses the listener any more (nothing), or
  // because nobody can hear it (an error): then the cell must end. It must not destroy the
  // Supervisor itself (post that to the loop). Kernels before 6.10 do not report the end while a
  // thread waits: the owner, who learns of init's end by other means, destroys the Supervisor.
  // Errors: ENOTTY (not a listener), EACCES and others (the cell's root cannot be opened), EAGAIN
  // (no thread).
  using OnEnd = std::function<void(std::optional<Error> broken)>;
  static Result<std::unique_ptr<Supervisor>> Start(UniqueFd listener, CellFacts facts,
                                                   OnEnd on_end);

  // Kills and reaps what is attached, joins every thread, writes what is still counted. Calls that
  // still wait for an answer fail with ENOSYS once the last copy of the listener is closed. Never
  // call it from on_end.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  [[nodiscard]] Counters counters() const;
  // JSON `record` objects of what was denied, oldest first; at most 1000 are kept.
  [[nodiscard]] std::vector<std::string> denials() const;
  [[nodiscard]] std::string last_denial() const;  // "" where there is none
  // What processes of the cell may do once.
  [[nodiscard]] exec::Desk& desk();
  // For notifications received from now on.
  void ReplacePolicy(std::shared_ptr<const policy::Policy> policy);

 private:
  class Impl;
  explicit Supervisor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace cellrun::notify
