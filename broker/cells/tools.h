// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "broker/cells/cell.h"
#include "broker/cells/policy_refresh.h"
#include "lib/policy/profile.h"

namespace cellrun::cells {

// The tools of a cell that runs, as a person adds them and takes them away: a document of its own
// in the cell's policy, and an entry in its directory of tools. They go with the cell. Only on the
// loop's thread.
class Tools {
 public:
  explicit Tools(PolicyRefresh& refresh) : refresh_(refresh) {}

  // Error's code: EEXIST, ENOENT (no such tool), EINVAL (the context says what is wrong with it).
  Result<void> Add(Cell& cell, const policy::Tool& tool, const std::string& by);
  Result<void> Remove(Cell& cell, const std::string& name);
  struct Entry {
    const policy::Tool* tool = nullptr;  // of the cell's policy
    bool added = false;                  // not by the profile
  };
  [[nodiscard]] static std::vector<Entry> List(const Cell& cell);

 private:
  PolicyRefresh& refresh_;
};

}  // namespace cellrun::cells
