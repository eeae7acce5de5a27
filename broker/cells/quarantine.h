// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/cells/inotify_hub.h"
#include "broker/cells/protection.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::cells {

// Protected names that were not there when the cell started: nothing is created on the host to deny
// them, so they are watched for, and the moment one appears it is renamed in place to
// NAME.cellrun-quarantined, within its held parent directory and never through a link. A symbolic
// link among the parents is quarantined itself. Exempt: in a repository that the cell makes, a
// `.git/config` whose keys run nothing, and sample hooks. Only on the loop's thread.
class Quarantine {
 public:
  // What happened to one name.
  struct Event {
    std::string path;      // relative to the workspace
    std::string moved_to;  // likewise; "" when it could not be moved
    std::string problem;   // "" or why
    bool changed = false;  // a name that existed at the start is not what it was
  };
  using OnEvent = std::function<void(const Event&)>;

  // Starts watching. More than kMaxEvents events: `on_flood`, once; the cell has to be stopped.
  static constexpr int kMaxEvents = 256;
  static Result<std::unique_ptr<Quarantine>> Start(InotifyHub& hub, const std::string& workspace,
                                                   SharedProtection protection, OnEvent on_event,
                                                   std::function<void()> on_flood);

  // Also watches for this name (relative to the workspace), which is not there any more.
  void Guard(const std::string& path);

  // Looks at every name once more, and compares those that existed with what they were. The cell
  // must be gone.
  void FinalSweep();

 private:
  Quarantine(InotifyHub& hub, UniqueFd root, SharedProtection protection, OnEvent on_event,
             std::function<void()> on_flood);

  // The directories that one round of looking has already opened and watched, by relative path.
  // Names share most of theirs.
  struct Round {
    struct Directory {
      UniqueFd held;  // invalid: nothing is there
      struct stat facts {};
      int watch = -1;
    };
    std::map<std::string, Directory> directories;
  };
  void LookAtAll();
  void Look(const GuardedName& name, Round& round);
  [[nodiscard]] bool WasThere(const std::string& relative, const struct stat& facts) const;
  void WatchDirectory(Round::Directory& directory, const std::string& component,
                      const GuardedName& name);
  void OnChange(int watch, const std::string& entry);
  void LookInside(const UniqueFd& parent, const std::string& relative, const GuardedName& name);
  void SetAside(const UniqueFd& parent, const std::string& entry, const std::string& relative);
  void Compare(const GuardedName& name);
  void Report(Event event);

  InotifyHub& hub_;
  const UniqueFd root_;
  const SharedProtection protection_;
  std::deque<GuardedName> gone_;  // since the start
  const OnEvent on_event_;
  const std::function<void()> on_flood_;
  int events_ = 0;
  bool last_round_ = false;  // nothing is watched for any more
  struct Watched {
    std::unique_ptr<InotifyHub::Subscription> subscription;
    std::map<std::string, std::set<const GuardedName*>> interesting;  // by entry name; "" for any
  };
  std::map<int, Watched> watched_;  // by watch descriptor
};

}  // namespace cellrun::cells
