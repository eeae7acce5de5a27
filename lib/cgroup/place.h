// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/cgroup/hierarchies.h"

namespace cellrun::cgroup {

using Controllers = std::set<Controller>;

// Where a cgroup of a cell may be made that limits it, seen from the process that starts it.
struct Place {
  // In version 2: below this directory; "" for nowhere.
  std::string parent;
  Controllers unified;  // that it has there
  // What has to be done for that first (Prepare).
  Controllers disabled;           // to be enabled for what is below `parent`
  bool vacate = false;            // its processes go into a cgroup below it: inner ones have none
  std::vector<std::string> left;  // cgroups that limit the process and would not limit the cell
  // In version 1, each below its own directory.
  std::map<Controller, std::string> old;
  // Of those that are wanted, why it is nowhere.
  std::map<Controller, std::string> missing;
};

// Looks, and changes nothing.
Place FindPlace(pid_t process, const Controllers& wanted);
Place FindPlace(const Hierarchies& hierarchies, std::string_view groups, const Controllers& wanted);

// Makes `parent` fit to hold cgroups with these controllers.
Result<void> Prepare(const Place& place);

// Writes those limits into the cgroup in `directory` that the ones in `left` have and it does not.
Result<void> CarryOver(const std::vector<std::string>& left, const std::string& directory);

// Where the processes of a vacated cgroup are.
inline constexpr char kVacatedName[] = "cellrun-callers";

}  // namespace cellrun::cgroup
