// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/quarantine.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>

#include "broker/cells/absent.h"
#include "broker/cells/git_config.h"
#include "lib/sys/file.h"

namespace cellrun::cells {
namespace {

constexpr open_how kHeld = {.flags = O_PATH | O_NOFOLLOW,
                            .mode = 0,
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
constexpr std::size_t kMaxGitConfigBytes = 64 * 1024;

bool IsGitConfig(const std::string& relative) {
  return relative == ".git/config" || relative.ends_with("/.git/config");
}
bool IsGitHooks(const std::string& relative) {
  return relative == ".git/hooks" || relative.ends_with("/.git/hooks");
}

bool IsHarmlessGitConfig(const UniqueFd& parent, const std::string& entry) {
  const Result<UniqueFd> held = sys::OpenAt2(parent.get(), entry.c_str(), kHeld);
  if (!held.ok()) return false;
  const Result<std::string> text = sys::ReadWholeFileAt(
      AT_FDCWD, ("/proc/self/fd/" + std::to_string(held->get())).c_str(), kMaxGitConfigBytes);
  return text.ok() && GitConfigRunsNothing(*text);
}

std::vector<std::string> Entries(const UniqueFd& directory) {
  std::vector<std::string> names;
  Result<UniqueFd> readable = sys::OpenAt(directory.get(), ".", O_RDONLY | O_DIRECTORY);
  if (!readable.ok()) return names;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(readable->get()), closedir);
  if (stream == nullptr) return names;
  (void)readable->Release();
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name(&entry->d_name[0]);
    if (name != "." && name != "..") names.push_back(name);
  }
  return names;
}

}  // namespace

Result<std::unique_ptr<Quarantine>> Quarantine::Start(InotifyHub& hub, const std::string& workspace,
                                                      SharedProtection protection, OnEvent on_event,
                                                      std::function<void()> on_flood) {
  UniqueFd root = TRY(sys::OpenAt(AT_FDCWD, workspace.c_str(), O_RDONLY | O_DIRECTORY));
  std::unique_ptr<Quarantine> quarantine(new Quarantine(hub, std::move(root), std::move(protection),
                                                        std::move(on_event), std::move(on_flood)));
  quarantine->LookAtAll();
  return quarantine;
}

Quarantine::Quarantine(InotifyHub& hub, UniqueFd root, SharedProtection protection,
                       OnEvent on_event, std::function<void()> on_flood)
    : hub_(hub),
      root_(std::move(root)),
      protection_(std::move(protection)),
      on_event_(std::move(on_event)),
      on_flood_(std::move(on_flood)) {}

void Quarantine::LookAtAll() {
  Round round;
  for (const GuardedName& name : protection_->guarded) {
    if (!name.existed && !name.hide) Look(name, round);
  }
  for (const GuardedName& name : gone_) Look(name, round);
}

void Quarantine::Guard(const std::string& path) {
  const auto known = std::find_if(gone_.begin(), gone_.end(),
                                  [&](const GuardedName& name) { return name.path == path; });
  Round round;
  if (known != gone_.end()) return Look(*known, round);
  gone_.push_back({.path = path});
  Look(gone_.back(), round);
}

// Walks from the workspace towards the name, holding each directory, watching the deepest one that
// exists.
void Quarantine::Look(const GuardedName& name, Round& round) {
  Round::Directory* directory = &round.directories[""];
  if (!directory->held.valid()) {
    Result<UniqueFd> root = sys::Duplicate(root_);
    if (!root.ok())
      return Report({.path = name.path, .moved_to = "", .problem = root.error().ToString()});
    directory->held = std::move(*root);
  }
  for (std::size_t start = 0;;) {
    const std::size_t slash = name.path.find('/', start);
    const std::string component = name.path.substr(start, slash - start);
    const std::string relative = name.path.substr(0, slash);
    // Watched before it is looked at: what appears in between is an event.
    WatchDirectory(*directory, component, name);
    const auto [next, fresh] = round.directories.try_emplace(relative);
    if (fresh && !IsMissingEntry(directory->held, component)) {
      Result<UniqueFd> opened = sys::OpenAt2(directory->held.get(), component.c_str(), kHeld);
      const Result<struct stat> facts =
          opened.ok() ? sys::Fstat(*opened) : Result<struct stat>(opened.error());
      if (facts.ok()) {
        next->second.held = std::move(*opened);
        next->second.facts = *facts;
      }
    }
    if (!next->second.held.valid()) return;
    if (slash == std::string::npos) {
      // It may be set aside now: a later name below it has to be looked for afresh.
      round.directories.erase(next);
      return LookInside(directory->held, relative, name);
    }
    const mode_t mode = next->second.facts.st_mode;
    if (!S_ISDIR(mode)) {
      // A link (or a .git pointer file) in the way of a protected name would lead the host's tools
      // to a place of the cell's choice. One that was there before is masked, and compared at the
      // end.
      const bool leads_away = S_ISLNK(mode) || component == ".git";
      if (leads_away && !WasThere(relative, next->second.facts))
        SetAside(directory->held, component, relative);
      next->second.held.Reset();
      return;
    }
    directory = &next->second;
    start = slash + 1;
  }
}

bool Quarantine::WasThere(const std::string& relative, const struct stat& facts) const {
  const auto same = [&](const GuardedName& name) {
    return name.existed && name.path == relative && SameFile(name.at_start, facts);
  };
  return std::any_of(protection_->guarded.begin(), protection_->guarded.end(), same) ||
         std::any_of(protection_->links.begin(), protection_->links.end(), same);
}

void Quarantine::WatchDirectory(Round::Directory& directory, const std::string& component,
                                const GuardedName& name) {
  if (last_round_) return;
  if (directory.watch < 0) {
    Result<std::unique_ptr<InotifyHub::Subscription>> made =
        hub_.Watch(directory.held,
                   [this](int watch, const std::string& changed) { OnChange(watch, changed); });
    if (!made.ok())
      return Report({.path = name.path, .moved_to = "", .problem = made.error().ToString()});
    directory.watch = (*made)->watch();
    Watched& watched = watched_[directory.watch];
    // One watch descriptor an inode: of two subscriptions of ours the first is enough.
    if (watched.subscription == nullptr) watched.subscription = std::move(*made);
  }
  watched_[directory.watch].interesting[component].insert(&name);
}

void Quarantine::OnChange(int watch, const std::string& entry) {
  const auto found = watched_.find(watch);
  if (found == watched_.end()) return;
  if (entry.empty()) return LookAtAll();
  std::set<const GuardedName*> names;
  for (const std::string& key : {entry, std::string()}) {
    const auto interested = found->second.interesting.find(key);
    if (interested != found->second.interesting.end())
      names.insert(interested->second.begin(), interested->second.end());
  }
  Round round;
  for (const GuardedName* name : names) Look(*name, round);
}

// The name exists. Hooks and configuration of a repository that the cell made are looked into;
// everything else is set aside.
void Quarantine::LookInside(const UniqueFd& parent, const std::string& relative,
                            const GuardedName& name) {
  const std::string entry = relative.substr(relative.rfind('/') + 1);
  if (IsGitConfig(relative) && IsHarmlessGitConfig(parent, entry)) return;
  if (IsGitHooks(relative)) {
    Result<UniqueFd> opened = sys::OpenAt2(parent.get(), entry.c_str(), kHeld);
    const Result<struct stat> facts =
        opened.ok() ? sys::Fstat(*opened) : Result<struct stat>(opened.error());
    if (facts.ok() && S_ISDIR(facts->st_mode)) {
      Round::Directory directory;
      directory.held = std::move(*opened);
      const UniqueFd& hooks = directory.held;
      WatchDirectory(directory, "", name);
      for (const std::string& hook : Entries(hooks)) {
        const bool harmless =
            hook.ends_with(".sample") || hook.find(".cellrun-quarantined") != std::string::npos;
        if (!harmless) SetAside(hooks, hook, relative + "/" + hook);
      }
      return;
    }
  }
  SetAside(parent, entry, relative);
}

void Quarantine::SetAside(const UniqueFd& parent, const std::string& entry,
                          const std::string& relative) {
  for (int attempt = 1; attempt <= 100; ++attempt) {
    const std::string suffix =
        ".cellrun-quarantined" + (attempt == 1 ? "" : "-" + std::to_string(attempt));
    const Result<void> moved = sys::RenameAt2(parent.get(), entry.c_str(), parent.get(),
                                              (entry + suffix).c_str(), RENAME_NOREPLACE);
    if (moved.ok()) return Report({.path = relative, .moved_to = relative + suffix, .problem = ""});
    if (moved.error().code() == ENOENT) return;  // it has gone again
    if (moved.error().code() != EEXIST) {
      return Report({.path = relative, .moved_to = "", .problem = moved.error().ToString()});
    }
  }
  Report({.path = relative,
          .moved_to = "",
          .problem = "100 quarantined objects of this name lie there already"});
}

void Quarantine::FinalSweep() {
  last_round_ = true;
  LookAtAll();
  for (const GuardedName& name : protection_->guarded) {
    if (name.existed && !name.hide) Compare(name);
  }
}

void Quarantine::Compare(const GuardedName& name) {
  const Result<struct stat> now =
      sys::FstatAt(root_.get(), name.path.c_str(), name.linked ? 0 : AT_SYMLINK_NOFOLLOW);
  if (now.ok() && SameFile(*now, name.at_start)) return;
  Report({.path = name.path,
          .moved_to = "",
          .problem = now.ok() ? "" : now.error().ToString(),
          .changed = true});
}

void Quarantine::Report(Event event) {
  ++events_;
  if (events_ <= kMaxEvents) on_event_(event);
  if (events_ == kMaxEvents) on_flood_();
}

}  // namespace cellrun::cells
