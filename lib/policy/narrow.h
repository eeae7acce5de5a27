// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "lib/policy/document.h"
#include "lib/policy/load.h"
#include "lib/policy/profile.h"

namespace cellrun::policy {

// Both look at the values whose standing in the key table is kBounded: defaults, the workspace's
// mode, tmp, limits, approvals, audit. "Narrower" is less or equal in every order: allow > ask >
// deny, rw > overlay, snapshot > ro, more > less, less recorded > more.

// Takes over what `overlay` says where it is narrower than `profile`; notes a Problem where it is
// wider.
void ApplyOverlay(const Profile& overlay, Profile* profile, std::vector<Problem>* problems);

// Lowers `profile` to `floor` where it is wider.
void ApplyFloor(const Profile& floor, Profile* profile);

// Lowers the limits that rules and tools give to their ghosts to `bounds` where they are wider.
void BoundGhosts(const Limits& bounds, Profile* profile);

}  // namespace cellrun::policy
