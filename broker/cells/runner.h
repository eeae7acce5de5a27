// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "broker/exec/waiter.h"

namespace cellrun::cells {

// Runs what was approved, but not in the process that asked for it: `run: mirror` and `run: ghost`.
// Only on the loop's thread. Outlives the cells.
class Runner {
 public:
  // `waiter` is of this cell, or of one that has ended.
  virtual void Run(const std::string& cell_id, exec::Waiter waiter) = 0;
  // Runs an external checker for a cell (rooms::RunChecker).
  virtual void Check(const std::string& cell_id, const std::string& command, std::string request,
                     std::function<void(Result<std::string> printed)> done) = 0;
  // What runs for it ends too.
  virtual void CellEnded(const std::string& cell_id) = 0;

  virtual ~Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

 protected:
  Runner() = default;
};

}  // namespace cellrun::cells
