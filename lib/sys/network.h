// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/result.h"

namespace cellrun::sys {

// Sets IFF_UP on the loopback interface of the calling thread's network namespace (127.0.0.1 and
// ::1 come with it). Needs CAP_NET_ADMIN there; no allocation.
Result<void> RaiseLoopback();

}  // namespace cellrun::sys
