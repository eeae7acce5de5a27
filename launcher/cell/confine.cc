// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include "launcher/cell/steps.h"
#include "lib/sys/file.h"
#include "lib/sys/landlock.h"

namespace cellrun::launcher {
namespace {

constexpr int kAbiWithRefer = 2;   // 5.19
constexpr int kAbiWithScopes = 6;  // 6.12

bool JudgesWrites(const wire::CellPlan& plan) {
  for (const wire::LandlockRule& rule : plan.landlock) {
    if (rule.write) return true;
  }
  return false;
}

Result<void> AllowBeneath(const UniqueFd& ruleset, const char* path, std::uint64_t access) {
  const Result<UniqueFd> opened = sys::OpenAt(AT_FDCWD, path, O_PATH);
  // What is not in this cell needs no permission.
  if (!opened.ok() && opened.error().code() == ENOENT) return {};
  if (!opened.ok()) return opened.error();
  return sys::LandlockAllowBeneath(ruleset, *opened, access);
}

}  // namespace

Result<void> ApplyLandlock(ChildState& child) {
  const wire::CellPlan& plan = child.plan;
  if (plan.landlock.empty() && plan.namespaces == 0) return {};
  const int abi = sys::LandlockAbi();
  if (abi == 0) {
    if (plan.landlock_required) return Error(ENOSYS, "landlock_create_ruleset");
    SendNote(child, Note::kLandlockOff);
    return {};
  }
  // A process under any rule about files may not mount: only the scopes are left then.
  if (plan.landlock.empty() && abi < kAbiWithScopes) return {};
  const bool judges_writes = JudgesWrites(plan);
  uapi::LandlockRulesetAttr attributes{};
  if (!plan.landlock.empty()) {
    attributes.handled_access_fs =
        LANDLOCK_ACCESS_FS_EXECUTE | (judges_writes ? LANDLOCK_ACCESS_FS_WRITE_FILE : 0U);
    if (abi >= kAbiWithRefer) attributes.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
  }
  if (abi >= kAbiWithScopes)
    attributes.scoped = uapi::kLandlockScopeAbstractUnixSocket | uapi::kLandlockScopeSignal;
  const UniqueFd ruleset = TRY(sys::LandlockCreateRuleset(attributes));
  // Every ruleset forbids moving and linking files between directories unless it says otherwise;
  // the mount tree bounds that already.
  if (abi >= kAbiWithRefer && !plan.landlock.empty())
    TRY(AllowBeneath(ruleset, "/", LANDLOCK_ACCESS_FS_REFER));
  for (child.detail = 0; child.detail < plan.landlock.size(); ++child.detail) {
    const wire::LandlockRule& rule = plan.landlock[child.detail];
    const std::uint64_t access = (rule.execute ? LANDLOCK_ACCESS_FS_EXECUTE : 0U) |
                                 (rule.write && judges_writes ? LANDLOCK_ACCESS_FS_WRITE_FILE : 0U);
    if (access != 0) TRY(AllowBeneath(ruleset, rule.path.c_str(), access));
  }
  return sys::LandlockRestrictSelf(ruleset);
}

}  // namespace cellrun::launcher
