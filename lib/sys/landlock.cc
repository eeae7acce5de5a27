// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/landlock.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>

#include "lib/sys/returned.h"

namespace cellrun::sys {
int LandlockAbi() {
  const long abi =
      syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  return abi < 0 ? 0 : static_cast<int>(abi);
}
Result<UniqueFd> LandlockCreateRuleset(uapi::LandlockRulesetAttr attributes) {
  // An older kernel accepts a longer structure only if the part that it does not know is zero.
  const long fd = syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes, 0);
  if (fd < 0) return ErrnoError("landlock_create_ruleset");
  return UniqueFd(static_cast<int>(fd));
}
Result<void> LandlockAllowBeneath(const UniqueFd& ruleset, const UniqueFd& path,
                                  std::uint64_t access) {
  const landlock_path_beneath_attr rule{.allowed_access = access, .parent_fd = path.get()};
  return Check(syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0),
               "landlock_add_rule");
}
Result<void> LandlockRestrictSelf(const UniqueFd& ruleset) {
  return Check(syscall(SYS_landlock_restrict_self, ruleset.get(), 0), "landlock_restrict_self");
}

}  // namespace cellrun::sys
