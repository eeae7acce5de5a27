// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::nested {

// The arguments of mount(2).
struct MountCall {
  std::optional<std::string> source, data;
  std::string target, type;
  unsigned long flags = 0;
};

// A child of the broker that makes one call in a task's place: with the task's user, namespaces and
// capabilities, so that the kernel allows it what it would allow the task, and nothing more. It is
// not dumpable, so that nobody whose namespaces it enters can look into it or drive it.
class StandIn {
 public:
  // For a task that waits for an answer; `uid` and `gid` are the cell's user on the host.
  static Result<StandIn> For(pid_t tid, uid_t uid, gid_t gid);

  // Whether the task has CAP_SYS_ADMIN, in whichever user namespace it is.
  [[nodiscard]] bool MayAdminister() const;
  // In the task's mount namespace, below its root, from its working directory.
  [[nodiscard]] Result<void> Mount(const MountCall& call) const;
  // In the broker's own mount namespace.
  [[nodiscard]] Result<UniqueFd> Open(const std::string& path, int flags) const;

 private:
  StandIn() = default;
  [[nodiscard]] Result<void> Run(const std::function<Result<void>()>& act) const;
  [[nodiscard]] Result<void> Become() const;
  [[nodiscard]] Result<void> EnterMounts(const MountCall& call) const;
  [[nodiscard]] Result<void> MountHere(const MountCall& call) const;

  uid_t uid_ = 0;
  gid_t gid_ = 0;
  std::uint64_t capabilities_ = 0;
  UniqueFd user_, mount_, pid_, ipc_, root_, directory_;
};

}  // namespace cellrun::nested
