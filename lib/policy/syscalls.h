// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "lib/policy/profile.h"

namespace cellrun::policy {

// Names that `syscalls.rules` may contain: the filter's blocked set and the reviewed opt-ins.
bool IsRuleSyscall(std::string_view name);
// "ptrace", "userns", "perf", "keyctl": what `then: allow` may name.
bool IsOptIn(std::string_view name);
// Calls that the broker can do itself: what `then: ask` may name.
bool IsBrokered(std::string_view name);

// Whether the profile opens an opt-in. The first rule that names it, or one of the calls that it
// stands for, decides; a floor's allow does not.
bool AllowsOptIn(const Profile& profile, std::string_view opt_in);

}  // namespace cellrun::policy
