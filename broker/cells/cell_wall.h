// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "broker/cells/shared_profile.h"
#include "broker/loop/loop.h"
#include "broker/net/wall/wall.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::cells {

// The second wall of one cell. A cell that cannot have it has an empty one, which does nothing.
class CellWall {
 public:
  CellWall() = default;
  // For a launcher of root's; the cell's cgroup is made below its own.
  static CellWall Beside(net::Wall& wall, pid_t launcher);
  // For a ghost: beside the cell that it works for, and where that has none, none.
  static Result<CellWall> BesideCell(net::Wall& wall, const std::string& cgroup);

  // In a cgroup below that directory.
  static Result<CellWall> Below(net::Wall& wall, const std::string& parent);

  // The cgroup that init must be made in; "" where there is no wall.
  [[nodiscard]] std::string cgroup() const;
  // Its directory; null where there is no wall.
  [[nodiscard]] const UniqueFd* directory() const;
  // Why there is none, for a cell that root runs; "" otherwise.
  [[nodiscard]] const std::string& missing() const { return missing_; }

  struct Cell {
    std::string id;
    pid_t init = 0;
    const UniqueFd& network_witness;  // a socket of its network namespace
    const UniqueFd* gateway_witness;  // of its gateway's; null for none
    std::string home;                 // whose package managers `@npm` and its like mean
    bool nested = false;
  };
  // Before anything of the cell runs. `on_loss`: the wall does not hold any more.
  Result<void> Open(const Cell& cell, const SharedProfile& profile,
                    std::function<void(const std::string& why)> on_loss);
  // From now on, in one step. What rules let out until then goes when they expire.
  Result<void> ReplacePolicy(const SharedProfile& profile);
  // {"refused", "unrecorded"}: since the start; null where there is no wall.
  [[nodiscard]] nlohmann::json Counters() const;
  // Records what was refused so far.
  void Settle() {
    if (enclosure_ != nullptr) enclosure_->Settle();
  }
  // The hooks and the cgroup go.
  void Close() {
    expiry_.reset();
    enclosure_.reset();
  }

 private:
  Result<net::WallReach> Compile(const SharedProfile& profile);

  std::unique_ptr<net::Wall::Enclosure> enclosure_;
  std::string missing_, home_;
  bool gateway_ = false;
  SharedProfile profile_;
  std::function<void(const std::string& why)> on_loss_;
  std::unique_ptr<loop::Loop::Timer> expiry_;
};

}  // namespace cellrun::cells
