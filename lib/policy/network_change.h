// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lib/policy/network_policy.h"
#include "lib/policy/profile.h"

namespace cellrun::policy {

// For `why` and denials: the narrowest rule that would turn the verdict on a connection around (ask
// and deny into allow, allow into deny), as YAML to put first under `network: rules:`, with a
// comment that says where; or one sentence where no rule of the profile can. The proposal has been
// tried. Escaped for a person to read and to copy.
std::string SmallestNetworkChange(const Profile& profile, const Destination& destination,
                                  const GroupMembers& built_in = {});

// The narrowest rule that names this destination and allows it, on one line; "" where it has no
// name that a rule could have.
std::string RuleLettingOut(const Destination& destination);

}  // namespace cellrun::policy
