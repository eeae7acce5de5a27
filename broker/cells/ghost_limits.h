// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "lib/policy/profile.h"

namespace cellrun::cells {

// For the person who starts the cell: which limits of its ghosts and tools this host cannot hold
// for one of them as a whole. A ghost itself prints nothing but what its command does. Looks at the
// host only where a rule has such limits.
std::vector<std::string> GhostLimitWarnings(const policy::Profile& profile, pid_t launcher);

}  // namespace cellrun::cells
