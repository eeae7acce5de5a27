// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/loop/loop.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/process.h"

namespace cellrun::cells {

// A cell's user and mount namespace, held open so that nothing has to be found by a pid.
struct CellNamespaces {
  UniqueFd user, mount;
};

// One mount that has to be made in a running cell.
struct Remount {
  enum class Kind : std::uint8_t { kHide, kProtect, kPin };
  Kind kind = Kind::kPin;
  std::string path;  // absolute in the cell
  dev_t device = 0;  // of what is to be found there
  ino_t inode = 0;
  std::chrono::steady_clock::time_point seen = std::chrono::steady_clock::now();
};

// Mounts `remounts` in this order in a child that enters the namespaces, then calls `done` on the
// loop's thread: 0; EAGAIN when something else than expected lay at a path (look again); ETIME when
// it took longer than `deadline`; any other errno of what failed. Destroying the job kills the
// child. One child, no thread.
class RemountJob {
 public:
  using OnDone = std::function<void(int code)>;
  static Result<std::unique_ptr<RemountJob>> Start(loop::Loop& loop,
                                                   const CellNamespaces& namespaces,
                                                   const std::vector<Remount>& remounts,
                                                   std::chrono::nanoseconds deadline, OnDone done);

 private:
  RemountJob(loop::Loop& loop, sys::ChildProcess child, std::chrono::nanoseconds deadline,
             OnDone done);
  void OnEnd();

  sys::ChildProcess child_;
  OnDone done_;
  bool late_ = false;
  std::unique_ptr<loop::Loop::Watch> ended_;
  std::unique_ptr<loop::Loop::Timer> deadline_;
};

}  // namespace cellrun::cells
