// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <memory>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/profile.h"

namespace cellrun::cells {

// One hidden or protected name below the workspace, as it was when the cell started.
struct GuardedName {
  std::string path;      // relative to the workspace, normalised
  bool hide = false;     // else: protect
  bool existed = false;  // then it is masked by a mount; else its appearance is watched for
  bool linked = false;   // it is reached through a link that was there before
  struct stat at_start {};
  bool operator==(const GuardedName& other) const;
};

// Whether nothing has happened to a file between two looks at it.
bool SameFile(const struct stat& a, const struct stat& b);

// What `hide` and `protect` mean in one workspace.
struct Protection {
  std::vector<GuardedName> guarded;         // names below the workspace
  std::vector<std::string> hidden_outside;  // absolute paths elsewhere, masked if they are there
  std::vector<std::string> protected_outside;
  // Links that were there and lead to guarded names: not ours to remove, as long as they are the
  // same.
  std::vector<GuardedName> links;
  std::vector<std::string>
      parents;  // directories between the workspace and an existing guarded name, outermost first
  bool operator==(const Protection&) const = default;
};
// Cells of one profile mostly have the same.
using SharedProtection = std::shared_ptr<const Protection>;

// Expands patterns (`**` costs one walk of the workspace, at most kMaxWalkEntries, else an error),
// follows a `.git` pointer file to the directories that it names, and looks at what exists. Never
// follows a symbolic link out of the workspace: a link among the parents of a guarded name is
// itself guarded.
inline constexpr std::size_t kMaxWalkEntries = 200000;
// Several profiles: cells that share a workspace get the union.
Result<Protection> FindProtection(const std::vector<const policy::Profile*>& profiles,
                                  const std::string& workspace);

}  // namespace cellrun::cells
