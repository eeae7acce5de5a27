// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::sys {

// Sets IFF_UP on the loopback interface of the calling thread's network namespace (127.0.0.1 and
// ::1 come with it). Needs CAP_NET_ADMIN there; no allocation.
Result<void> RaiseLoopback();

// Names the network namespace that a socket, of any family, belongs to; no other one gets the same
// as long as the machine runs (Linux 5.14).
Result<std::uint64_t> NetworkCookie(const UniqueFd& socket);

}  // namespace cellrun::sys
