// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/policy/profile.h"

namespace cellrun::run {

// The profile of a ghost of a cell with this one: what is hidden and protected stays so, and so do
// the limits and the floor's rules; what it may read stays, what it may write is what `rights`
// names beside the workspace. One approved command starts in it; whatever that starts may run, as
// far as the floor lets it, in place.
policy::Profile GhostProfile(const policy::Profile& parent, const policy::Ghost& rights);

// Likewise, of the cell that an external checker runs in: the host's programs, and no network.
policy::Profile CheckerProfile(const policy::Profile& parent);

}  // namespace cellrun::run
