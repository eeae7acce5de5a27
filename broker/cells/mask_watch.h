// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "broker/cells/inotify_hub.h"
#include "broker/cells/remount.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/wire/launch.h"

namespace cellrun::cells {

// A mount over a file falls when the host renames another file over it or removes it. Every name
// of the host that a plan masks, protects or pins is watched here, and what replaced one is said,
// so that it can be mounted over again. The objects that were there are held open: their inode
// numbers cannot come back. Only on the loop's thread.
class MaskWatch {
 public:
  struct Callbacks {
    // To be mounted in this order: what is hidden and protected first, then the directories around
    // it, innermost first, so that they take along what was mounted in them.
    std::function<void(std::vector<Remount>)> on_replaced;
    // A protected name is not there any more, so nothing can be mounted over it; `path` is absolute
    // in the cell.
    std::function<void(const std::string& path)> on_gone;
    // A name cannot be looked at any more.
    std::function<void(const Error& error)> on_failure;
  };

  MaskWatch(InotifyHub& hub, Callbacks callbacks);

  // Watches the masks and pins of `plan` that lie in one of its binds, from what is there now.
  // Before the plan is sent: what is replaced later is seen.
  Result<void> Watch(const wire::CellPlan& plan);
  // Of another cell's plan, those below `workspace` (which both have) that were not watched yet:
  // said to be replaced at once.
  Result<void> Adopt(const wire::CellPlan& other, const std::string& workspace);

  // Compares everything with what was there.
  void LookAtAll();
  // Looks again, and returns those of `remounts` where still the same lies.
  std::vector<Remount> Unchanged(const std::vector<Remount>& remounts);
  // Whether what lies there was written to, or its mode changed, since it was first seen.
  [[nodiscard]] bool Touched(const Remount& remount) const;

 private:
  struct Object {
    UniqueFd held;  // so that its inode number stays taken
    struct stat first {};
    // Of a directory: what to look at when an entry of it changes.
    std::unique_ptr<InotifyHub::Subscription> subscription;
    std::map<std::string, std::set<std::size_t>> interesting;  // entry -> indices of names_
  };
  struct Base {
    std::string from, to;  // on the host ("" for what is not the host's) and in the cell
    Object* root = nullptr;
  };
  struct Name {
    Remount::Kind kind = Remount::Kind::kPin;
    Base* base = nullptr;
    std::string relative;        // to the base
    std::vector<Object*> chain;  // the directories on the way and itself; empty: not there
  };
  // Walks that find many names of one directory look it up once.
  using Walked = std::map<std::string, Object*>;

  Base* BaseOf(const std::string& path);
  Result<bool> Add(const wire::MountStep& step, Walked& walked);
  Result<std::vector<Object*>> Follow(std::size_t name, Walked& walked);
  Result<Object*> Keep(UniqueFd found);
  Result<void> Subscribe(Object& directory, const std::string& entry, std::size_t name);
  void OnChange(Object& directory, const std::string& entry);
  void Look(const std::set<std::size_t>& names);
  [[nodiscard]] Remount RemountOf(const Name& name) const;

  InotifyHub& hub_;
  const Callbacks callbacks_;
  std::map<std::string, Base> bases_;  // by place in the cell
  std::map<std::pair<dev_t, ino_t>, Object> objects_;
  std::map<std::string, std::size_t> known_;  // path in the cell -> index of names_
  std::vector<Name> names_;
};

}  // namespace cellrun::cells
