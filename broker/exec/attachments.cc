// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/attachments.h"

#include <algorithm>

#include "lib/base/check.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxAside = 4096;

}  // namespace

bool SharedPlaces::Take() {
  std::ptrdiff_t free = free_;
  while (free > 0) {
    if (free_.compare_exchange_weak(free, free - 1)) return true;
  }
  return false;
}

Attachments::~Attachments() {
  for (; borrowed_ > 0; --borrowed_) shared_->GiveBack();
}

bool Attachments::HasPlace() const {
  if (groups_.size() >= kMaxAttached) return false;
  return groups_.size() < kOwnPlaces + borrowed_ || shared_ == nullptr || shared_->any();
}
bool Attachments::TakePlace() {
  if (groups_.size() >= kMaxAttached) return false;
  if (groups_.size() < kOwnPlaces + borrowed_ || shared_ == nullptr) return true;
  if (!shared_->Take()) return false;
  ++borrowed_;
  return true;
}

Attachments::Entry Attachments::Aside(const seccomp_notif& notification, pid_t tgid) {
  if (aside_.size() >= kMaxAside) return Entry::kRefuse;
  aside_.push_back({notification, tgid});
  ++aside_count_;
  return Entry::kPutAside;
}

// A call of the attached task itself. Nothing: like any other of its group.
std::optional<Attachments::Entry> Attachments::Overtaking(const seccomp_notif& notification,
                                                          Group& group) {
  if (static_cast<pid_t>(notification.pid) != group.tid) return std::nullopt;
  switch (group.stage) {
    case Stage::kEntered:
      group.held.push_back(notification);
      return Entry::kPutAside;
    case Stage::kInterrupted:
      return Entry::kRestart;
    case Stage::kRedirecting:
      return Entry::kRefuse;
    case Stage::kStopped:
      break;
  }
  return std::nullopt;
}

Attachments::Entry Attachments::Enter(const seccomp_notif& notification, pid_t tgid) {
  const std::lock_guard lock(mutex_);
  const auto group = groups_.find(tgid);
  if (group != groups_.end()) {
    const std::optional<Entry> overtaking = Overtaking(notification, group->second);
    return overtaking.has_value() ? *overtaking : Aside(notification, tgid);
  }
  if (!TakePlace()) return Aside(notification, tgid);
  groups_[tgid].tid = static_cast<pid_t>(notification.pid);
  return Entry::kEntered;
}

void Attachments::Leave(pid_t tgid) {
  const std::lock_guard lock(mutex_);
  const auto group = groups_.find(tgid);
  CHECK(group != groups_.end());
  // Held, and never attached to: it comes next.
  for (const seccomp_notif& held : group->second.held) aside_.push_front({held, tgid});
  aside_count_ = aside_.size();
  groups_.erase(group);
  if (borrowed_ > 0) {
    --borrowed_;
    shared_->GiveBack();
  }
}

std::vector<std::uint64_t> Attachments::Advance(pid_t tgid, Stage stage) {
  const std::lock_guard lock(mutex_);
  const auto group = groups_.find(tgid);
  CHECK(group != groups_.end());
  group->second.stage = stage;
  std::vector<std::uint64_t> ids;
  if (stage == Stage::kStopped) return ids;  // it is stopped: what was held before is answered
  for (const seccomp_notif& held : group->second.held) ids.push_back(held.id);
  group->second.held.clear();
  return ids;
}

// Nothing is forgotten: what is put aside waits for a group or a place that is taken, whoever
// leaves asks afterwards, and whoever was given something asks again.
std::optional<seccomp_notif> Attachments::Next() {
  if (aside_count_ == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (!HasPlace()) return std::nullopt;
  const auto found = std::find_if(aside_.begin(), aside_.end(), [&](const PutAside& one) {
    return groups_.find(one.tgid) == groups_.end();
  });
  if (found == aside_.end()) return std::nullopt;
  const seccomp_notif notification = found->notification;
  aside_.erase(found);
  --aside_count_;
  return notification;
}

void Attachments::Expect(pid_t tid, const Call& call) {
  const std::lock_guard lock(mutex_);
  expected_[tid] = call;
  expected_count_ = expected_.size();
}
void Attachments::Forget(pid_t tid) {
  const std::lock_guard lock(mutex_);
  expected_.erase(tid);
  expected_count_ = expected_.size();
}
bool Attachments::Expects(pid_t tid) {
  const std::lock_guard lock(mutex_);
  return expected_.contains(tid);
}

bool Attachments::Take(const seccomp_notif& notification) {
  if (expected_count_ == 0) return false;
  const std::lock_guard lock(mutex_);
  const auto found = expected_.find(static_cast<pid_t>(notification.pid));
  if (found == expected_.end()) return false;
  Call call{.number = notification.data.nr, .arguments = {}};
  std::copy_n(std::begin(notification.data.args), call.arguments.size(), call.arguments.begin());
  if (!(call == found->second)) return false;
  expected_.erase(found);
  expected_count_ = expected_.size();
  return true;
}

}  // namespace cellrun::exec
