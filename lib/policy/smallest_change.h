// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lib/policy/load.h"
#include "lib/policy/policy.h"
#include "lib/policy/request.h"

namespace cellrun::policy {

// For `why`: the narrowest rules that would turn a verdict around (ask and deny into allow, allow
// into deny), as YAML to put first under `commands: rules:` of the profile, with a comment that
// says where; or one sentence where no rule of the profile can (the floor or the workspace's file
// decided). The proposal has been tried: with it, Decide answers as promised. Escaped for a person
// to read and to copy.
std::string SmallestChange(const Policy& policy, const ExecRequest& request, const Places& places,
                           const FileLookup& lookup);

}  // namespace cellrun::policy
