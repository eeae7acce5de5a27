// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/proposals.h"

#include <utility>

#include "broker/exec/task.h"

namespace cellrun::exec {
namespace {

bool IsCurrent(pid_t pid, std::uint64_t start_time) {
  const Result<std::uint64_t> start = StartTime(pid);
  return start.ok() && *start == start_time;
}

}  // namespace

void Proposals::Add(pid_t pid, std::uint64_t start_time, std::string reason) {
  const std::lock_guard lock(mutex_);
  if (proposals_.size() >= kMaxProposals) {
    std::erase_if(proposals_, [](const auto& entry) {
      return !IsCurrent(entry.first, entry.second.start_time);
    });
  }
  if (proposals_.size() >= kMaxProposals) return;
  proposals_[pid] = {.start_time = start_time, .reason = std::move(reason)};
  count_ = proposals_.size();
}

std::optional<std::string> Proposals::Take(pid_t pid) {
  if (count_ == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto found = proposals_.find(pid);
  if (found == proposals_.end()) return std::nullopt;
  Proposal proposal = std::move(found->second);
  proposals_.erase(found);
  count_ = proposals_.size();
  if (!IsCurrent(pid, proposal.start_time)) return std::nullopt;
  return std::move(proposal.reason);
}

}  // namespace cellrun::exec
