// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/ticket.h"

#include <utility>

#include "broker/exec/task.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxTickets = 1024;

bool IsCurrent(pid_t pid, const Ticket& ticket) {
  const Result<std::uint64_t> start = StartTime(pid);
  return start.ok() && start.value() == ticket.start_time;
}

}  // namespace

void Tickets::Add(pid_t tgid, Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (tickets_.size() >= kMaxTickets) {
    // Processes that died before they used it; a live one asks within milliseconds.
    std::erase_if(tickets_,
                  [](const auto& entry) { return !IsCurrent(entry.first, entry.second); });
  }
  tickets_.insert_or_assign(tgid, std::move(ticket));
  count_ = tickets_.size();
}

std::optional<Ticket> Tickets::TakeChannel(pid_t pid) {
  const std::lock_guard lock(mutex_);
  const auto found = tickets_.find(pid);
  if (found == tickets_.end() || found->second.has_channel || !IsCurrent(pid, found->second)) {
    return std::nullopt;
  }
  found->second.has_channel = true;
  return found->second;
}

std::optional<Ticket> Tickets::TakeExec(pid_t pid) {
  if (count_ == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto found = tickets_.find(pid);
  if (found == tickets_.end()) return std::nullopt;
  Ticket ticket = std::move(found->second);
  tickets_.erase(found);
  count_ = tickets_.size();
  if (!IsCurrent(pid, ticket)) return std::nullopt;  // left behind by a process that died
  return ticket;
}

}  // namespace cellrun::exec
