// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::exec {

// A path lookup, component by component, as the task `tid` would do it: "self" and "thread-self" of
// procfs mean the task (the broker is in no pid namespace of the cell), and procfs links to
// objects are followed. openat2(2) does all the other lookups; this is for what it cannot.
struct WalkOptions {
  pid_t tid = -1;
  bool follow_last = true;
};

struct Walked {
  UniqueFd fd;  // O_PATH; a symbolic link only without follow_last
  // Everything on the way lies on a read-only mount or is a mount point: the name cannot be made to
  // mean something else from inside the cell.
  bool stable = true;
  // A link of procfs to an object was followed: the result may lie anywhere.
  bool left_tree = false;
};

// `start` is where a relative path begins. Errors: those of a lookup (ENOENT, ENOTDIR, EACCES,
// ELOOP over 40 links, ENAMETOOLONG).
Result<Walked> WalkPath(const UniqueFd& root, const UniqueFd& start, std::string_view path,
                        const WalkOptions& options);

}  // namespace cellrun::exec
