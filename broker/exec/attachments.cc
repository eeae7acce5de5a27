// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/attachments.h"

#include <algorithm>

#include "lib/base/check.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxAside = 4096;

}  // namespace

Attachments::Entry Attachments::Enter(const seccomp_notif& notification, pid_t tgid) {
  const std::lock_guard lock(mutex_);
  if (groups_.size() < kMaxAttached && groups_.insert(tgid).second) return Entry::kEntered;
  if (aside_.size() >= kMaxAside) return Entry::kFull;
  aside_.push_back({notification, tgid});
  ++aside_count_;
  return Entry::kPutAside;
}

void Attachments::Leave(pid_t tgid) {
  const std::lock_guard lock(mutex_);
  CHECK(groups_.erase(tgid) == 1);
}

// Nothing is forgotten: what is put aside waits for a group or a place that is taken, whoever
// leaves asks afterwards, and whoever was given something asks again.
std::optional<seccomp_notif> Attachments::Next() {
  if (aside_count_ == 0) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (groups_.size() >= kMaxAttached) return std::nullopt;
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
