// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <map>
#include <utility>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/wire/launch.h"

namespace cellrun::launcher {

// Makes the mounts of a root-run cell on which one owner of files on disk is seen as the cell's
// user, and the other way round for what the cell creates. Only for a launcher with the host's
// root.
class IdMapper {
 public:
  IdMapper(uid_t cell_uid, gid_t cell_gid) : cell_uid_(cell_uid), cell_gid_(cell_gid) {}

  // A detached, recursive clone of step.from, with the step's attributes, on which the owner of
  // step.from is the cell's user. EINVAL: a file system below it cannot map ids.
  Result<UniqueFd> CloneMapped(const wire::MountStep& step);

 private:
  Result<const UniqueFd*> NamespaceFor(uid_t uid, gid_t gid);

  uid_t cell_uid_;
  gid_t cell_gid_;
  std::map<std::pair<uid_t, gid_t>, UniqueFd> namespaces_;
};

}  // namespace cellrun::launcher
