// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/guards.h"

#include <chrono>
#include <iterator>
#include <utility>

namespace cellrun::cells {

Result<std::unique_ptr<Guards>> Guards::Start(loop::Loop& loop, InotifyHub& hub,
                                              std::string workspace, const wire::CellPlan& plan,
                                              Callbacks callbacks) {
  std::unique_ptr<Guards> guards(new Guards(loop, hub, std::move(workspace), std::move(callbacks)));
  TRY(guards->masks_.Watch(plan).With("watching masked names"));
  return guards;
}

Guards::Guards(loop::Loop& loop, InotifyHub& hub, std::string workspace, Callbacks callbacks)
    : loop_(loop),
      hub_(hub),
      workspace_(std::move(workspace)),
      callbacks_(std::move(callbacks)),
      masks_(hub, {.on_replaced =
                       [this](std::vector<Remount> remounts) {
                         std::move(remounts.begin(), remounts.end(), std::back_inserter(fallen_));
                         MountAgain();
                       },
                   .on_gone = [this](const std::string& path) { OnGone(path); },
                   .on_failure =
                       [this](const Error& error) {
                         callbacks_.on_failure("watching masked names: " + error.ToString());
                       }}) {}

Result<void> Guards::WatchForNew(SharedProtection protection) {
  quarantine_ = TRY(Quarantine::Start(
                        hub_, workspace_, std::move(protection),
                        [this](const Quarantine::Event& event) { OnQuarantine(event); },
                        [this] { callbacks_.on_failure("the cell keeps making protected names"); })
                        .With("watching protected names"));
  return {};
}

void Guards::Enter(CellNamespaces namespaces) {
  namespaces_ = std::move(namespaces);
  MountAgain();
}

void Guards::Share(const wire::CellPlan& other) {
  const Result<void> adopted = masks_.Adopt(other, workspace_);
  if (!adopted.ok()) callbacks_.on_failure("watching masked names: " + adopted.error().ToString());
}

void Guards::OnQuarantine(const Quarantine::Event& event) {
  callbacks_.on_event(
      {.path = workspace_ + "/" + event.path,
       .to = workspace_ + "/" + (event.moved_to.empty() ? event.path : event.moved_to),
       .result = event.changed            ? "changed"
                 : event.moved_to.empty() ? "not quarantined"
                                          : "quarantined",
       .reason = event.problem,
       .set_aside = true});
}

void Guards::OnGone(const std::string& path) {
  callbacks_.on_event({.path = path,
                       .to = path,
                       .result = "removed on the host",
                       .reason = "what appears there now is set aside"});
  const std::string prefix = workspace_ + "/";
  if (path.starts_with(prefix) && quarantine_ != nullptr)
    quarantine_->Guard(path.substr(prefix.size()));
}

// The cell is not stopped meanwhile: the mask has fallen before anybody can know, stopping every
// task takes longer than mounting, and a shell in the cell would see its jobs stop.
void Guards::MountAgain() {
  if (fallen_.empty() || job_ != nullptr || !namespaces_.mount.valid()) return;
  constexpr int kMaxRemounts = 4096;
  constexpr std::chrono::seconds kDeadline{5};
  const std::vector<Remount> remounts = std::exchange(fallen_, {});
  remounts_ += static_cast<int>(remounts.size());
  if (remounts_ > kMaxRemounts) return callbacks_.on_failure("masked names keep being replaced");
  Result<std::unique_ptr<RemountJob>> started =
      RemountJob::Start(loop_, namespaces_, remounts, kDeadline,
                        [this, remounts](int code) { OnMounted(remounts, code); });
  if (!started.ok()) return callbacks_.on_failure("masking again: " + started.error().ToString());
  job_ = std::move(*started);
}

void Guards::OnMounted(const std::vector<Remount>& remounts, int code) {
  job_.reset();
  if (code == EAGAIN) {
    // Something else lies there by now, and its own event may have been taken for this one's.
    for (Remount& remount : masks_.Unchanged(remounts)) fallen_.push_back(std::move(remount));
    return MountAgain();
  }
  if (code != 0) {
    return callbacks_.on_failure(
        "a masked name was replaced on the host and cannot be masked again: " + ErrnoText(code));
  }
  for (const Remount& remount : remounts) {
    if (remount.kind == Remount::Kind::kPin) continue;
    const auto open = std::chrono::duration_cast<std::chrono::microseconds>(
        std::chrono::steady_clock::now() - remount.seen);
    callbacks_.on_event({.path = remount.path,
                         .to = remount.path,
                         .result = &kMaskedAgain[0],
                         .reason = "replaced on the host; open to the cell for " +
                                   std::to_string(open.count()) + " us after that was seen" +
                                   (masks_.Touched(remount) ? ", and changed in that time" : "")});
  }
  MountAgain();
}

CellNamespaces Guards::Finish() {
  job_.reset();
  fallen_.clear();
  if (quarantine_ != nullptr) quarantine_->FinalSweep();
  return std::exchange(namespaces_, {});
}

}  // namespace cellrun::cells
