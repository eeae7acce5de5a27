// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/policy/profile.h"

namespace cellrun::policy {

// Where the names of `tools` are in a cell, read-only.
inline constexpr char kToolsDirectory[] = "/run/cellrun/tools";

// A rule for each of `tools`, by the path that it has in the cell: behind those that can only make a
// verdict stricter, before the profile's own.
void AddToolRules(Profile& profile);

}  // namespace cellrun::policy
