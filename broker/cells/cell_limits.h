// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "broker/cells/cell_wall.h"
#include "broker/cells/plan.h"
#include "broker/loop/janitor.h"
#include "broker/net/wall/cgroup.h"
#include "lib/base/result.h"
#include "lib/cgroup/place.h"
#include "lib/policy/profile.h"

namespace cellrun::cells {

// The cgroups that limit one cell as a whole. Where this host offers none for a limit, the plan has
// something weaker and says so. A profile without such limits has an empty one, for which nothing
// is looked at.
class CellLimits {
 public:
  struct Order {
    const policy::Profile& profile;
    pid_t launcher = 0;  // what limits it limits the cell
    net::Wall& wall;
    loop::Janitor& janitor;
    std::string notes;  // directory of where cgroups are
  };
  // `cell_wall` is put elsewhere where its cgroup cannot be limited; then `left_wall`, with what
  // is in it, must stay until the cell has started. An error's text says what of the host's failed:
  // without it, the cell would not be limited.
  static Result<CellLimits> Make(const Order& order, CellWall& cell_wall, CellWall& left_wall);
  CellLimits() = default;
  ~CellLimits() { Close(); }
  CellLimits(CellLimits&& other) noexcept = default;
  CellLimits& operator=(CellLimits&& other) noexcept;

  [[nodiscard]] const WholeLimits& whole() const { return whole_; }
  // Directories of cgroups that init has to be put into before it is init; without that of its wall
  // where it is made in that one.
  enum class Made { kBefore, kInItsWall };
  [[nodiscard]] std::vector<int> entered(Made made) const;
  // Whether init is in all of them. From then on nothing of them is held open.
  Result<void> Confirm(pid_t init);
  // Of version 2; "" for none of its own.
  [[nodiscard]] const std::string& path() const { return path_; }
  // How many of its processes the kernel has ended for want of memory.
  [[nodiscard]] std::uint64_t MemoryKills() const;
  // The cgroups go.
  void Close();

 private:
  class Maker;

  loop::Janitor* janitor_ = nullptr;
  std::vector<net::Cgroup> made_;
  std::string wall_;  // the cgroup of the cell's wall, where init is put into it
  UniqueFd wall_directory_;
  std::string path_;
  WholeLimits whole_;
};

}  // namespace cellrun::cells
