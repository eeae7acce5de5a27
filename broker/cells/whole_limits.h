// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/profile.h"

namespace cellrun::cells {

// What holds for the cell as a whole (CellLimits), by the names of layers: "cgroup.memory" and its
// like.
struct WholeLimits {
  std::vector<std::string> layers = {};
  std::map<std::string, std::string> missing = {};  // such a layer, and why it is not there

  [[nodiscard]] bool Has(std::string_view layer) const;
  // The first that a profile requires and that is missing; null if there is none.
  [[nodiscard]] const policy::Placed<std::string>* Unmet(const policy::Profile& profile) const;
};

}  // namespace cellrun::cells
