// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/uapi.h"

// landlock(7). No allocation: callable between clone and exec.
namespace cellrun::sys {

// 0: not in this kernel, or switched off at boot.
int LandlockAbi();
Result<UniqueFd> LandlockCreateRuleset(uapi::LandlockRulesetAttr attributes);
// EINVAL when `access` has a right that only directories know and `path` is a file.
Result<void> LandlockAllowBeneath(const UniqueFd& ruleset, const UniqueFd& path,
                                  std::uint64_t access);
// Needs no_new_privs or CAP_SYS_ADMIN; of the calling thread and what it starts.
Result<void> LandlockRestrictSelf(const UniqueFd& ruleset);

}  // namespace cellrun::sys
