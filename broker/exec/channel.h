// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "broker/exec/ticket.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::exec {

// A waiting room's end of its channel. What its ticket says is already in it, and behind that the
// end of file: the broker keeps nothing.
Result<UniqueFd> MakeChannel(const Ticket& ticket);

}  // namespace cellrun::exec
