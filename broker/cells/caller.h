// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include "broker/cells/plan.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::cells {

// Who is at the other end of a launch connection: the broker's own uid or root (EPERM otherwise),
// and never a process of a cell: its pid namespace has to be the broker's.
Result<ucred> CheckPeer(const UniqueFd& connection);

// Names of the peer's ids, from the name service; the numbers where it knows none.
Caller Identify(const ucred& peer);

}  // namespace cellrun::cells
