// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "lib/base/result.h"
#include "lib/policy/source.h"

namespace cellrun::wire {

// The organisation's floor: /etc/cellrun/floor.d/*.yaml in the order of their names, each owned by
// root and writable by nobody else. An Error if one is not, or cannot be read: nothing starts
// without it. Empty where there is no such directory. A document that is too long comes with one
// byte more than the loader takes, which then says so.
Result<std::vector<policy::Source>> ReadFloor();

}  // namespace cellrun::wire
