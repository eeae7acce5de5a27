// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lib/policy/policy.h"
#include "lib/policy/profile.h"

namespace cellrun::run {

// What a rule gives to the sibling cell of one command.
struct GhostRights {
  const policy::Ghost& named;
  policy::RuleReference rule;  // that names them
};

// The profile of a ghost of a cell with this one: what is hidden and protected stays so, and so do
// the floor's rules, and the limits for which the rule has none; what it may read stays, what it
// may write is what the rule names beside the workspace. One approved command starts in it;
// whatever that starts may run, as far as the floor lets it, in place. It reaches what the rule
// names, as far as rules of the floor and the workspace let it, and nothing that the cell may
// reach.
policy::Profile GhostProfile(const policy::Profile& parent, const GhostRights& rights);

// Likewise, of the cell that an external checker runs in: the host's programs, and no network.
policy::Profile CheckerProfile(const policy::Profile& parent);

}  // namespace cellrun::run
