// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "broker/cells/plan.h"
#include "broker/peer/peer.h"

namespace cellrun::cells {

// Names of the peer's ids, from the name service; the numbers where it knows none.
Caller Identify(const peer::Peer& peer);

}  // namespace cellrun::cells
