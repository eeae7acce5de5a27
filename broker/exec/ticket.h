// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/exec/image.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

// What a waiting room may do: one process, once. Made while the process is stopped in the exec of
// the shim, so it cannot be anybody else; number and start time together are never used again.
struct Ticket {
  std::uint64_t start_time = 0;
  std::string explanation;  // for its stderr; or, if empty:
  // the one exec that it may do.
  std::string program;
  FileVersion image;
  std::vector<std::string> argv, env;
  policy::RuleReference rule;  // that allowed it
  bool has_channel = false;
};

// Thread-safe.
class Tickets {
 public:
  void Add(pid_t tgid, Ticket ticket);
  // The ticket of a process that asks for its channel; marked, so that it gets it once.
  std::optional<Ticket> TakeChannel(pid_t pid);
  // The ticket of a process that makes an exec: gone afterwards, whatever the exec is. Nothing if
  // the process holds none.
  std::optional<Ticket> TakeExec(pid_t pid);

 private:
  std::mutex mutex_;
  std::unordered_map<pid_t, Ticket> tickets_;  // guarded by mutex_
  std::atomic<std::size_t> count_{0};          // to look without the mutex
};

}  // namespace cellrun::exec
