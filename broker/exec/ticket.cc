// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/ticket.h"

#include <algorithm>
#include <utility>

#include "broker/exec/task.h"

namespace cellrun::exec {
namespace {

bool IsCurrent(pid_t pid, const Ticket& ticket) {
  const Result<std::uint64_t> start = StartTime(pid);
  return start.ok() && start.value() == ticket.start_time;
}

bool IsBelow(const std::pair<pid_t, Ticket>& held, pid_t pid) {
  return held.first < pid;
}

}  // namespace

Tickets::Held::iterator Tickets::Find(pid_t pid) {
  const auto found = std::lower_bound(tickets_.begin(), tickets_.end(), pid, IsBelow);
  return found != tickets_.end() && found->first == pid ? found : tickets_.end();
}

void Tickets::Add(pid_t tgid, Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (tickets_.size() >= sweep_at_) {
    // Processes that died before they used it.
    std::erase_if(tickets_,
                  [](const auto& entry) { return !IsCurrent(entry.first, entry.second); });
    sweep_at_ = std::max(kFirstSweep, tickets_.size() * 2);
  }
  if (ticket.number == 0) ticket.number = next_number_++;  // not one that is given back
  const auto place = std::lower_bound(tickets_.begin(), tickets_.end(), tgid, IsBelow);
  if (place != tickets_.end() && place->first == tgid) {
    place->second = std::move(ticket);
  } else {
    tickets_.emplace(place, tgid, std::move(ticket));
  }
  count_ = tickets_.size();
}

std::optional<Ticket> Tickets::TakeChannel(pid_t pid) {
  const std::lock_guard lock(mutex_);
  const auto found = Find(pid);
  if (found == tickets_.end() || found->second.has_channel || !IsCurrent(pid, found->second)) {
    return std::nullopt;
  }
  Ticket ticket = found->second;
  found->second.has_channel = true;
  // What the process waits for is the business of whoever took this.
  found->second.message.reset();
  return ticket;
}

std::optional<Ticket> Tickets::TakeExec(pid_t pid) {
  if (count_ == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const auto found = Find(pid);
  if (found == tickets_.end()) return std::nullopt;
  Ticket ticket = std::move(found->second);
  tickets_.erase(found);
  count_ = tickets_.size();
  if (!IsCurrent(pid, ticket)) return std::nullopt;  // left behind by a process that died
  return ticket;
}

void Tickets::Grant(pid_t tgid, std::uint64_t number, std::shared_ptr<const Sealed> sealed) {
  const std::lock_guard lock(mutex_);
  const auto found = Find(tgid);
  if (found == tickets_.end() || found->second.number != number) return;
  if (sealed != nullptr) {
    found->second.purpose = Ticket::Purpose::kExecute;
    found->second.sealed = std::move(sealed);
    return;
  }
  tickets_.erase(found);
  count_ = tickets_.size();
}

}  // namespace cellrun::exec
