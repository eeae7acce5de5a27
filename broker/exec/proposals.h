// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

namespace cellrun::exec {

// What processes of a cell said about their next exec (`cellrun request`). It can only propose: a
// verdict that would deny asks a person instead, where the floor leaves that open, and the words
// stand beside the ask as the cell's. Thread-safe.
class Proposals {
 public:
  // Of a process that lives. Nothing is kept where the cell proposes too much at once.
  void Add(pid_t pid, std::uint64_t start_time, std::string reason);
  // For an exec that the process makes now: gone afterwards.
  std::optional<std::string> Take(pid_t pid);

 private:
  struct Proposal {
    std::uint64_t start_time = 0;
    std::string reason;
  };
  static constexpr std::size_t kMaxProposals = 64;

  std::mutex mutex_;
  std::unordered_map<pid_t, Proposal> proposals_;  // guarded by mutex_
  std::atomic<std::size_t> count_{0};              // to look without the mutex
};

}  // namespace cellrun::exec
