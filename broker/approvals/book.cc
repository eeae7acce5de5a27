// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/book.h"

#include <algorithm>

#include "broker/approvals/digest.h"
#include "lib/base/check.h"

namespace cellrun::approvals {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kPast = 4096;
constexpr std::size_t kMaxArguments = 65536;
constexpr const char* kNoApprover = "no approver";
constexpr const char* kNobodyLooks =
    "nobody is there to be asked (started without a terminal, and nobody looks at `cellrun "
    "approvals`)";

std::size_t SizeOf(const std::vector<std::string>& texts) {
  std::size_t bytes = texts.size() * sizeof(std::string);
  for (const std::string& text : texts) bytes += text.size();
  return bytes;
}

std::size_t SizeOf(const Ask& ask) {
  std::size_t bytes = sizeof(Ask) + sizeof(Entry) + ask.cwd.size() + ask.program.size() +
                      ask.reason.size() + ask.said_by_cell.size() + ask.workspace.size();
  bytes += SizeOf(ask.argv) + SizeOf(ask.original_argv) + SizeOf(ask.parents) + SizeOf(ask.chain) +
           SizeOf(ask.risks);
  for (const EnvironmentChange& change : ask.environment) {
    bytes += sizeof change + change.name.size() + change.before.size() + change.after.size();
  }
  return bytes;
}

Decision Refused(std::string reason, std::string by) {
  return {.state = State::kDenied, .reason = std::move(reason), .argv = {}, .by = std::move(by)};
}

std::string InSeconds(milliseconds time) {
  return std::to_string((time.count() + 999) / 1000) + " s";
}

}  // namespace

std::string Approver::ToString() const {
  return "uid " + std::to_string(uid) + (terminal.empty() ? "" : " on " + terminal);
}

Book::Book(Limits limits, NewId new_id, std::uint64_t last_order)
    : limits_(limits), new_id_(std::move(new_id)), next_order_(last_order + 1) {}

Book::Submitted Book::Submit(PackedAsk packed, const Now& now) {
  Ask ask = *packed;
  const policy::Layer layer = ask.rule.layer;
  const bool each_time = layer == policy::Layer::kFloor || layer == policy::Layer::kWorkspace;
  if (each_time && ask.rememberable) {
    ask.rememberable = false;
    packed = ask;
  }
  const std::string digest = DigestOf(ask);
  const std::size_t bytes = SizeOf(ask);
  Submitted submitted;
  const bool unseen = !ask.attended && !(looked_ && now.steady - *looked_ < limits_.looked);
  submitted.refusal = unseen && missed_ && now.steady - *missed_ < limits_.looked
                          ? std::optional(Refused(kNobodyLooks, kNoApprover))
                          : RefusalOf(ask, digest, bytes, now);
  if (submitted.refusal) return submitted;
  Cell& cell = cells_[ask.cell_id];
  submitted.waiter = next_waiter_++;
  const auto known = cell.pending.find(digest);
  submitted.joined = known != cell.pending.end();
  if (!submitted.joined) {
    Entry entry;
    entry.id = FreshId();
    entry.digest = digest;
    entry.ask = std::move(packed);
    entry.created = now.wall;
    const milliseconds wait = unseen ? std::min(ask.timeout, limits_.unseen) : ask.timeout;
    entry.unseen = unseen;
    entry.expires = now.wall + wait;
    entry.asked = now.steady;
    entry.deadline = now.steady + wait;
    entry.bytes = bytes;
    entry.waiters.push_back(submitted.waiter);
    const Entry& added = Add(std::move(entry));
    submitted.id = added.id;
    submitted.left = wait;
    return submitted;
  }
  Entry& entry = entries_.at(known->second);
  entry.waiters.push_back(submitted.waiter);
  waiters_[submitted.waiter] = entry.order;
  ++cell.waiters;
  submitted.id = entry.id;
  submitted.left = duration_cast<milliseconds>(entry.deadline - now.steady);
  return submitted;
}

std::optional<Decision> Book::RefusalOf(const Ask& ask, const std::string& digest,
                                        std::size_t bytes, const Now& now) {
  if (ask.timeout <= milliseconds(0)) {
    return Refused("nobody is there to be asked (the time to wait for an answer is 0)",
                   "no approver");
  }
  const auto found = cells_.find(ask.cell_id);
  if (found == cells_.end()) {
    if (bytes_ + bytes <= limits_.bytes && bytes <= limits_.bytes_of_cell) return std::nullopt;
    return Refused("too much waits for an answer already", "too many pending");
  }
  Cell& cell = found->second;
  if (auto cooling = Cooling(cell, digest, now)) return cooling;
  if (cell.waiters >= limits_.waiters_of_cell) {
    return Refused(std::to_string(cell.waiters) + " processes of this cell wait for an answer",
                   "too many pending");
  }
  if (cell.pending.contains(digest)) return std::nullopt;
  if (cell.pending.size() >= ask.max_pending) {
    return Refused(std::to_string(cell.pending.size()) +
                       " asks of this cell wait for an answer already (approvals.pending)",
                   "too many pending");
  }
  if (cell.bytes + bytes > limits_.bytes_of_cell || bytes_ + bytes > limits_.bytes) {
    return Refused("too much waits for an answer already", "too many pending");
  }
  return std::nullopt;
}

std::optional<Decision> Book::Cooling(Cell& cell, const std::string& digest, const Now& now) {
  const auto cooldown = cell.cooldowns.find(digest);
  if (cooldown == cell.cooldowns.end()) return std::nullopt;
  if (cooldown->second.until <= now.steady) {
    cell.cooldowns.erase(cooldown);
    return std::nullopt;
  }
  const auto left = duration_cast<milliseconds>(cooldown->second.until - now.steady);
  const Cooldown& denied = cooldown->second;
  return Refused("exactly this was denied a moment ago by " + denied.by +
                     (denied.reason.empty() ? "" : " (" + denied.reason + ")") +
                     "; nobody is asked again for " + InSeconds(left),
                 "asked again too soon");
}

Entry& Book::Add(Entry entry) {
  entry.order = next_order_++;
  Cell& cell = cells_[entry.ask->cell_id];
  cell.bytes += entry.bytes;
  cell.waiters += entry.waiters.size();
  bytes_ += entry.bytes;
  unseen_ += entry.unseen ? 1 : 0;
  ids_[entry.id] = entry.order;
  deadlines_.emplace(entry.deadline, entry.order);
  for (const std::uint64_t waiter : entry.waiters) waiters_[waiter] = entry.order;
  const std::uint64_t order = entry.order;
  Entry& added = entries_.emplace(order, std::move(entry)).first->second;
  cell.pending[added.digest] = order;
  return added;
}

Entry Book::Remove(std::uint64_t order) {
  const auto found = entries_.find(order);
  CHECK(found != entries_.end());
  Cell& cell = cells_.at(found->second.ask->cell_id);
  cell.pending.erase(found->second.digest);
  Entry entry = std::move(found->second);
  entries_.erase(found);
  cell.bytes -= entry.bytes;
  cell.waiters -= entry.waiters.size();
  bytes_ -= entry.bytes;
  unseen_ -= entry.unseen ? 1 : 0;
  ids_.erase(entry.id);
  deadlines_.erase({entry.deadline, order});
  for (const std::uint64_t waiter : entry.waiters) waiters_.erase(waiter);
  return entry;
}

void Book::End(std::uint64_t order, State state, Answered answer, const Decision& decision,
               Changes& changes) {
  Entry entry = Remove(order);
  for (const std::uint64_t waiter : entry.waiters) changes.decided.emplace_back(waiter, decision);
  entry.state = state;
  entry.answer = std::make_shared<const Answered>(std::move(answer));
  Remember(entry, "");
  changes.ended.push_back(std::move(entry));
}

Book::Changes Book::Withdraw(std::uint64_t waiter, const Now& now) {
  Changes changes;
  const auto found = waiters_.find(waiter);
  if (found == waiters_.end()) return changes;
  const std::uint64_t order = found->second;
  waiters_.erase(found);
  Entry& entry = entries_.at(order);
  --cells_.at(entry.ask->cell_id).waiters;
  std::erase(entry.waiters, waiter);
  if (!entry.waiters.empty()) {
    changes.changed.push_back(entry.id);
    return changes;
  }
  Answered answer{.by = "the process has gone",
                  .at = now.wall,
                  .reason = "",
                  .after = duration_cast<milliseconds>(now.steady - entry.asked)};
  End(order, State::kWithdrawn, std::move(answer), {}, changes);
  return changes;
}

Book::Changes Book::ForgetCell(const std::string& cell_id, const Now& now) {
  Changes changes;
  const auto cell = cells_.find(cell_id);
  if (cell == cells_.end()) return changes;
  std::vector<std::uint64_t> orders;
  for (const auto& [digest, order] : cell->second.pending) orders.push_back(order);
  std::sort(orders.begin(), orders.end());
  for (const std::uint64_t order : orders) {
    Answered answer{.by = "the cell has ended",
                    .at = now.wall,
                    .reason = "",
                    .after = duration_cast<milliseconds>(now.steady - entries_.at(order).asked)};
    End(order, State::kWithdrawn, std::move(answer),
        {.state = State::kWithdrawn,
         .reason = "the cell has ended",
         .argv = {},
         .by = "the cell has ended"},
        changes);
  }
  cells_.erase(cell_id);
  return changes;
}

Book::Changes Book::Look(const Now& now) {
  Changes changes;
  looked_ = now.steady;
  missed_.reset();
  if (unseen_ == 0) return changes;
  for (auto& [order, entry] : entries_) {
    if (!entry.unseen) continue;
    entry.unseen = false;
    deadlines_.erase({entry.deadline, order});
    entry.deadline = entry.asked + entry.ask->timeout;
    entry.expires = entry.created + entry.ask->timeout;
    deadlines_.emplace(entry.deadline, order);
    changes.changed.push_back(entry.id);
  }
  unseen_ = 0;
  return changes;
}

Book::Changes Book::Expire(const Now& now) {
  Changes changes;
  while (!deadlines_.empty() && deadlines_.begin()->first <= now.steady) {
    const std::uint64_t order = deadlines_.begin()->second;
    const Entry& entry = entries_.at(order);
    const bool unseen = entry.unseen;
    if (unseen) missed_ = now.steady;
    const bool allow = !unseen && entry.ask->on_timeout == policy::Action::kAllow;
    const std::string reason = unseen
                                   ? kNobodyLooks
                                   : "nobody answered within " +
                                         InSeconds(duration_cast<milliseconds>(entry.ask->timeout));
    const std::string by = unseen ? kNoApprover : "timeout";
    Answered answer{.by = by,
                    .at = now.wall,
                    .reason = reason,
                    .after = duration_cast<milliseconds>(now.steady - entry.asked)};
    Decision decision{.state = allow ? State::kApproved : State::kExpired,
                      .reason = reason,
                      .argv = allow ? entry.ask->argv : std::vector<std::string>(),
                      .by = by};
    End(order, State::kExpired, std::move(answer), decision, changes);
  }
  return changes;
}

std::optional<std::chrono::steady_clock::time_point> Book::NextDeadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return deadlines_.begin()->first;
}

bool Book::Completes(const Entry& entry) const {
  return entry.approved_by.size() + 1 >=
         static_cast<std::size_t>(std::max(1, entry.ask->approvers));
}

Book::Refusal Book::Check(const std::string& id, const Answer& answer,
                          const Approver& approver) const {
  const auto found = ids_.find(id);
  if (found == ids_.end()) return past_.contains(id) ? Refusal::kOver : Refusal::kUnknown;
  const Entry& entry = entries_.at(found->second);
  if (answer.digest != entry.digest) return Refusal::kChanged;
  const bool remembers = answer.scope != Scope::kOnce;
  if (remembers && !entry.ask->rememberable) return Refusal::kNotRememberable;
  if (!answer.approve) return Refusal::kNone;
  // What several must look at is looked at by several each time.
  if (remembers && entry.ask->approvers > 1) return Refusal::kNotRememberable;
  if (answer.argv) {
    const bool possible = entry.ask->approvers <= 1 && !remembers && !answer.argv->empty() &&
                          answer.argv->size() <= kMaxArguments;
    if (!possible) return Refusal::kNotEditable;
  }
  const auto same = [&](const Approver& earlier) { return earlier.uid == approver.uid; };
  if (std::any_of(entry.approved_by.begin(), entry.approved_by.end(), same)) {
    return Refusal::kSamePerson;
  }
  return Refusal::kNone;
}

Book::Changes Book::Take(const std::string& id, const Answer& answer, const Approver& approver,
                         const Now& now) {
  Changes changes;
  const std::uint64_t order = ids_.at(id);
  Entry& entry = entries_.at(order);
  if (answer.approve && !Completes(entry)) {
    entry.approved_by.push_back(approver);
    changes.changed.push_back(id);
    return changes;
  }
  if (answer.approve) {
    entry.approved_by.push_back(approver);
    Approve(order, answer, approver, now, changes);
    return changes;
  }
  Cell& cell = cells_.at(entry.ask->cell_id);
  std::erase_if(cell.cooldowns, [&](const auto& one) { return one.second.until <= now.steady; });
  if (cell.cooldowns.size() < limits_.cooldowns_of_cell) {
    cell.cooldowns[entry.digest] = {
        .until = now.steady + limits_.cooldown, .reason = answer.reason, .by = approver.ToString()};
  }
  Answered answered{.by = approver.ToString(),
                    .at = now.wall,
                    .scope = answer.scope,
                    .reason = answer.reason,
                    .after = duration_cast<milliseconds>(now.steady - entry.asked)};
  End(order, State::kDenied, std::move(answered),
      {.state = State::kDenied,
       .scope = answer.scope,
       .reason = answer.reason,
       .argv = {},
       .by = approver.ToString()},
      changes);
  return changes;
}

// Once means once: those that asked the same wait on, under an id that nobody has approved.
void Book::Approve(std::uint64_t order, const Answer& answer, const Approver& approver,
                   const Now& now, Changes& changes) {
  Entry entry = Remove(order);
  Decision decision{.state = State::kApproved,
                    .scope = answer.scope,
                    .reason = answer.reason,
                    .argv = answer.argv.value_or(entry.ask->argv),
                    .edited = answer.argv && *answer.argv != entry.ask->argv,
                    .by = approver.ToString()};
  std::vector<std::uint64_t> others = entry.waiters;
  const auto released =
      answer.scope == Scope::kOnce ? std::min<std::size_t>(1, others.size()) : others.size();
  for (std::size_t i = 0; i < released; ++i) changes.decided.emplace_back(others[i], decision);
  others.erase(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(released));
  entry.state = State::kApproved;
  entry.answer = std::make_shared<const Answered>(
      Answered{.by = decision.by,
               .at = now.wall,
               .scope = answer.scope,
               .reason = answer.reason,
               .edited = decision.edited,
               .after = duration_cast<milliseconds>(now.steady - entry.asked)});
  std::string next;
  if (!others.empty()) {
    Entry rest = entry;
    rest.id = next = FreshId();
    rest.state = State::kPending;
    rest.waiters = std::move(others);
    rest.approved_by.clear();
    rest.answer.reset();
    Add(std::move(rest));
    changes.changed.push_back(next);
  }
  Remember(entry, next);
  changes.ended.push_back(std::move(entry));
}

void Book::Remember(const Entry& entry, const std::string& next) {
  past_[entry.id] = {.state = entry.state,
                     .by = entry.answer->by,
                     .next = next,
                     .cell = entry.ask->cell_id,
                     .program = entry.ask->program};
  past_order_.push_back(entry.id);
  if (past_order_.size() <= kPast) return;
  past_.erase(past_order_.front());
  past_order_.pop_front();
}

std::string Book::FreshId() {
  for (;;) {
    std::string id = new_id_();
    if (!ids_.contains(id) && !past_.contains(id)) return id;
  }
}

const Entry* Book::Find(const std::string& prefix) const {
  const auto found = ids_.lower_bound(prefix);
  if (prefix.empty() || found == ids_.end() || !found->first.starts_with(prefix)) return nullptr;
  return Ambiguous(prefix) ? nullptr : &entries_.at(found->second);
}

bool Book::Ambiguous(const std::string& prefix) const {
  auto found = ids_.lower_bound(prefix);
  if (found == ids_.end() || found->first == prefix || !found->first.starts_with(prefix)) {
    return false;
  }
  ++found;
  return found != ids_.end() && found->first.starts_with(prefix);
}

const Entry* Book::At(std::uint64_t order) const {
  const auto found = entries_.find(order);
  return found == entries_.end() ? nullptr : &found->second;
}

const Book::Past* Book::FindPast(const std::string& id) const {
  const auto found = past_.find(id);
  return found == past_.end() ? nullptr : &found->second;
}

}  // namespace cellrun::approvals
