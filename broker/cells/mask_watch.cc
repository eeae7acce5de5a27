// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/mask_watch.h"

#include <fcntl.h>

#include <algorithm>

#include "broker/cells/below.h"
#include "lib/sys/file.h"

namespace cellrun::cells {
namespace {

using wire::MountKind;
using wire::MountStep;

constexpr open_how kHeld = {
    .flags = O_PATH | O_NOFOLLOW, .mode = 0, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};

// What can fall: masks, and directories or files bound onto themselves. A pin that only takes
// execution away is mounted over a directory of the profile's choice, and is not restored.
bool IsGuard(const MountStep& step) {
  return step.kind == MountKind::kMask || (step.kind == MountKind::kPin && !step.no_exec);
}
Remount::Kind KindOf(const MountStep& step) {
  if (step.kind == MountKind::kMask) return Remount::Kind::kHide;
  return step.read_only ? Remount::Kind::kProtect : Remount::Kind::kPin;
}

// Masks before the directories around them, those innermost first: a directory bound onto itself
// takes along what is mounted in it, and a descriptor of the directory below still shows the masks.
std::vector<Remount> InMountOrder(std::vector<Remount> remounts) {
  std::stable_sort(remounts.begin(), remounts.end(), [](const Remount& a, const Remount& b) {
    const bool a_pin = a.kind == Remount::Kind::kPin;
    const bool b_pin = b.kind == Remount::Kind::kPin;
    if (a_pin != b_pin) return b_pin;
    return a_pin && a.path.size() > b.path.size();
  });
  return remounts;
}

}  // namespace

MaskWatch::MaskWatch(InotifyHub& hub, Callbacks callbacks)
    : hub_(hub), callbacks_(std::move(callbacks)) {}

Result<void> MaskWatch::Watch(const wire::CellPlan& plan) {
  for (const MountStep& step : plan.mounts) {
    // What is mounted over a part of a bind takes that part away from it.
    if (step.kind == MountKind::kBind || step.kind == MountKind::kTmpfs)
      bases_[step.to] = {.from = step.from, .to = step.to};
  }
  Walked walked;
  for (const MountStep& step : plan.mounts) {
    if (IsGuard(step)) (void)TRY(Add(step, walked).With(step.to));
  }
  return {};
}

Result<void> MaskWatch::Adopt(const wire::CellPlan& other, const std::string& workspace) {
  std::vector<Remount> missing;
  Walked walked;
  for (const MountStep& step : other.mounts) {
    if (!IsGuard(step) || !IsBelow(step.to, workspace)) continue;
    if (TRY(Add(step, walked).With(step.to)) && !names_.back().chain.empty())
      missing.push_back(RemountOf(names_.back()));
  }
  if (!missing.empty()) callbacks_.on_replaced(InMountOrder(std::move(missing)));
  return {};
}

MaskWatch::Base* MaskWatch::BaseOf(const std::string& path) {
  Base* longest = nullptr;
  for (auto& [to, base] : bases_) {
    if (IsBelow(path, to) && (longest == nullptr || to.size() > longest->to.size()))
      longest = &base;
  }
  return longest == nullptr || longest->from.empty() ? nullptr : longest;
}

// False: it was known, or is nothing of the host's.
Result<bool> MaskWatch::Add(const MountStep& step, Walked& walked) {
  Base* base = BaseOf(step.to);
  if (base == nullptr || !known_.emplace(step.to, names_.size()).second) return false;
  if (base->root == nullptr) {
    base->root = TRY(Keep(TRY(sys::OpenAt(AT_FDCWD, base->from.c_str(), O_PATH | O_DIRECTORY))));
  }
  names_.push_back({.kind = KindOf(step),
                    .base = base,
                    .relative = step.to.substr(base->to.size() + 1),
                    .chain = {}});
  names_.back().chain = TRY(Follow(names_.size() - 1, walked));
  return true;
}

// What lies on the way to the name and at it, each directory watched before it is looked into.
// Empty: nothing is there.
Result<std::vector<MaskWatch::Object*>> MaskWatch::Follow(std::size_t index, Walked& walked) {
  const std::string& relative = names_[index].relative;
  const std::string& to = names_[index].base->to;
  Object* directory = names_[index].base->root;
  std::vector<Object*> chain;
  for (std::size_t start = 0;;) {
    const std::size_t slash = relative.find('/', start);
    const std::string entry = relative.substr(start, slash - start);
    TRY(Subscribe(*directory, entry, index));
    Object*& object = walked[to + "/" + relative.substr(0, slash)];
    if (object == nullptr) {
      Result<UniqueFd> found = sys::OpenAt2(directory->held.get(), entry.c_str(), kHeld);
      // ELOOP: a link took its place, and what it leads to is not what was mounted over.
      const bool gone =
          !found.ok() && (found.error().code() == ENOENT || found.error().code() == ENOTDIR ||
                          found.error().code() == ELOOP);
      if (gone) return std::vector<Object*>();
      object = TRY(Keep(TRY(std::move(found))));
    }
    chain.push_back(object);
    if (slash == std::string::npos) return chain;
    directory = object;
    start = slash + 1;
  }
}

Result<MaskWatch::Object*> MaskWatch::Keep(UniqueFd found) {
  const struct stat facts = TRY(sys::Fstat(found));
  Object& object = objects_[{facts.st_dev, facts.st_ino}];
  if (!object.held.valid()) {
    object.held = std::move(found);
    object.first = facts;
  }
  return &object;
}

Result<void> MaskWatch::Subscribe(Object& directory, const std::string& entry, std::size_t name) {
  if (directory.subscription == nullptr) {
    Result<std::unique_ptr<InotifyHub::Subscription>> made =
        hub_.Watch(directory.held, [this, &directory](int /*watch*/, const std::string& changed) {
          OnChange(directory, changed);
        });
    // Not a directory any more, or one that we may not read: nobody looks for names in it for us.
    if (!made.ok() && made.error().code() != ENOTDIR) return made.error();
    if (made.ok()) directory.subscription = std::move(*made);
  }
  directory.interesting[entry].insert(name);
  return {};
}

void MaskWatch::OnChange(Object& directory, const std::string& entry) {
  if (entry.empty()) return LookAtAll();
  const auto names = directory.interesting.find(entry);
  if (names != directory.interesting.end()) Look(std::set<std::size_t>(names->second));
}

void MaskWatch::LookAtAll() {
  std::set<std::size_t> all;
  for (std::size_t i = 0; i < names_.size(); ++i) all.insert(all.end(), i);
  Look(all);
}

void MaskWatch::Look(const std::set<std::size_t>& names) {
  std::vector<Remount> replaced;
  Walked walked;
  for (const std::size_t index : names) {
    Result<std::vector<Object*>> now = Follow(index, walked);
    if (!now.ok()) return callbacks_.on_failure(now.error());
    Name& name = names_[index];
    const std::vector<Object*> before = std::exchange(name.chain, std::move(*now));
    if (name.chain == before) continue;
    const bool protect = name.kind == Remount::Kind::kProtect;
    if (name.chain.empty() && protect) callbacks_.on_gone(name.base->to + "/" + name.relative);
    // What appears where a protected name had gone is not trusted: it is set aside, not mounted
    // over.
    const bool appeared = before.empty();
    if (!name.chain.empty() && !(appeared && protect)) replaced.push_back(RemountOf(name));
  }
  if (!replaced.empty()) callbacks_.on_replaced(InMountOrder(std::move(replaced)));
}

Remount MaskWatch::RemountOf(const Name& name) const {
  const Object& object = *name.chain.back();
  return {.kind = name.kind,
          .path = name.base->to + "/" + name.relative,
          .device = object.first.st_dev,
          .inode = object.first.st_ino};
}

std::vector<Remount> MaskWatch::Unchanged(const std::vector<Remount>& remounts) {
  LookAtAll();
  std::vector<Remount> unchanged;
  for (const Remount& remount : remounts) {
    const Name& name = names_.at(known_.at(remount.path));
    if (name.chain.empty()) continue;
    const Remount now = RemountOf(name);
    if (now.device == remount.device && now.inode == remount.inode) unchanged.push_back(remount);
  }
  return unchanged;
}

bool MaskWatch::Touched(const Remount& remount) const {
  const auto object = objects_.find({remount.device, remount.inode});
  if (object == objects_.end()) return true;
  const Result<struct stat> now = sys::Fstat(object->second.held);
  const timespec& then = object->second.first.st_ctim;
  return !now.ok() || now->st_ctim.tv_sec != then.tv_sec || now->st_ctim.tv_nsec != then.tv_nsec;
}

}  // namespace cellrun::cells
