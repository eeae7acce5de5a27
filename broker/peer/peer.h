// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::peer {

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

// Who connected to one of the broker's sockets: the broker's own uid or root, and a process of the
// broker's own pid namespace: a cell's, whatever its uid, is in one below. EPERM otherwise, also
// when it cannot be told.
Result<Peer> CheckPeer(const UniqueFd& connection);

}  // namespace cellrun::peer
