// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "broker/http/server.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::http {

// Who connected: the broker's own uid or root, and a process of the broker's own pid namespace: a
// cell's, whatever its uid, is in one below. EPERM otherwise, also when it cannot be told.
Result<Peer> CheckPeer(const UniqueFd& connection);

}  // namespace cellrun::http
