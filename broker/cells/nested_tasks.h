// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "lib/base/result.h"

namespace cellrun::cells {

// Kills every process of a cell that is in another mount namespace than its init, with whatever
// they start meanwhile, and waits until there is none. EBUSY: there still are after two seconds.
Result<void> KillOutsideOfTree(pid_t init_pid);

}  // namespace cellrun::cells
