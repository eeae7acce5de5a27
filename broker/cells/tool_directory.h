// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/policy/profile.h"

namespace cellrun::cells {

// The directory of one cell that is bound, read-only, over policy::kToolsDirectory in it: an entry
// for each tool, so that it is found in PATH, also for one that comes while the cell runs. What an
// entry holds does not matter, as its exec is always redirected; it is the shim, which without the
// broker says so and ends. Removed with its owner.
class ToolDirectory {
 public:
  static Result<ToolDirectory> Make(const std::string& cell_id,
                                    const std::vector<policy::Tool>& tools);
  // What a broker has left that was killed.
  static void RemoveOld();

  ToolDirectory() = default;
  ToolDirectory(ToolDirectory&& other) noexcept;
  ToolDirectory& operator=(ToolDirectory&& other) noexcept;
  ToolDirectory(const ToolDirectory&) = delete;
  ToolDirectory& operator=(const ToolDirectory&) = delete;
  ~ToolDirectory();

  [[nodiscard]] const std::string& path() const { return path_; }  // "": there is none
  [[nodiscard]] bool Has(const std::string& name) const;
  Result<void> Add(const std::string& name) const;
  Result<void> Remove(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace cellrun::cells
