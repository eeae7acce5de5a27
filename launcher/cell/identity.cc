// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "launcher/cell/steps.h"
#include "lib/base/check.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"

namespace cellrun::launcher {
namespace {

std::string OneLineMap(std::uint32_t inside, std::uint32_t outside) {
  return std::to_string(inside) + " " + std::to_string(outside) + " 1";
}

// The kernel counts these per user and namespace: a cell that used them up would take them from the
// host's user. The filter lets nobody make a time namespace.
struct NamespaceQuota {
  const char* name;
  bool allowed = true;  // where a cell may have any
};
constexpr std::array kNamespaceQuotas = {
    NamespaceQuota{"max_cgroup_namespaces"},      NamespaceQuota{"max_ipc_namespaces"},
    NamespaceQuota{"max_mnt_namespaces"},         NamespaceQuota{"max_net_namespaces"},
    NamespaceQuota{"max_pid_namespaces"},         NamespaceQuota{"max_user_namespaces"},
    NamespaceQuota{"max_time_namespaces", false}, NamespaceQuota{"max_uts_namespaces"}};

Result<void> WriteQuota(const UniqueFd& directory, const char* name, std::string_view value) {
  const UniqueFd file = TRY(sys::OpenAt(directory.get(), name, O_WRONLY));
  return sys::WriteAll(file, value);
}
Result<void> WriteQuotas(const wire::CellPlan& plan, const UniqueFd& directory) {
  TRY(WriteQuota(directory, "max_inotify_instances", std::to_string(plan.inotify_instances)));
  TRY(WriteQuota(directory, "max_inotify_watches", std::to_string(plan.inotify_watches)));
  // Every other namespace takes CAP_SYS_ADMIN, and without a user namespace of its own nothing in
  // the cell has a capability. Each file is made anew for the cell's user namespace, which costs
  // more than to write it.
  if (plan.namespaces == 0) return WriteQuota(directory, "max_user_namespaces", "0");
  const std::string namespaces = std::to_string(plan.namespaces);
  for (const NamespaceQuota& quota : kNamespaceQuotas) {
    const Result<void> written =
        WriteQuota(directory, quota.name, quota.allowed ? namespaces : "0");
    // Not every kernel has every namespace.
    if (!written.ok() && written.error().code() != ENOENT) return written;
  }
  return {};
}

// Another cell's are others, as far as there are.
Result<void> KeepSomeProcessors(const wire::CellPlan& plan) {
  std::vector<unsigned> there = TRY(sys::Processors());
  if (there.size() <= plan.processors) return {};
  const std::size_t first = std::hash<std::string>()(plan.id) % there.size();
  std::rotate(there.begin(), there.begin() + static_cast<std::ptrdiff_t>(first), there.end());
  there.resize(plan.processors);
  return sys::KeepProcessors(there);
}

}  // namespace

// All of the user namespace that the child was cloned into. Refused as a whole.
Result<void> MakeNamespaces(ChildState& /*child*/) {
  return sys::Unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS);
}

// The only user of the cell's namespace is the cell's. A user namespace may write its own one-line
// map.
Result<void> BecomeCaller(ChildState& child) {
  if (child.by_root) return {};
  TRY(sys::WriteExistingFile("/proc/self/setgroups", "deny"));
  TRY(sys::WriteExistingFile("/proc/self/uid_map",
                             OneLineMap(child.launcher_uid, child.launcher_uid)));
  return sys::WriteExistingFile("/proc/self/gid_map",
                                OneLineMap(child.launcher_gid, child.launcher_gid));
}

// Root maps an id that is not its own, which takes the parent's privileges: it has done so when the
// trees are there.
Result<void> BecomeCellUser(ChildState& child) {
  const wire::CellPlan& plan = child.plan;
  if (!child.by_root) {
    const bool fits = getuid() == plan.inside_uid && getgid() == plan.inside_gid;
    return fits ? Result<void>() : Error(EPROTO, "", "the plan names another user");
  }
  CHECK(plan.host_uid != 0 && plan.host_gid != 0);
  // From an id that is not mapped to one that is: no capability is lost by it, since the kernel's
  // rule is about the namespace's own root, and this one has none.
  return sys::SetIds(plan.inside_uid, plan.inside_gid);
}

Result<void> UseHostProc(ChildState& child) {
  child.quotas = TRY(sys::OpenAt(AT_FDCWD, "/proc/sys/user", O_PATH | O_DIRECTORY));
  // The host's programs should outlive the cell's when memory runs out. Refused only where a
  // container forbids it.
  const Result<void> raised = sys::WriteExistingFile("/proc/self/oom_score_adj", "500");
  if (!raised.ok()) SendNote(child, Note::kOomScoreNotSet, raised.error().code());
  return {};
}

// After the last mount: each detached mount counts as a mount namespace until it is attached.
// Whichever /proc the directory is of, the kernel takes the writer's user namespace.
Result<void> LimitKernelObjects(ChildState& child) {
  // Where /proc/sys is read-only (in a container) the outer limits hold; that is said, not fatal.
  const Result<void> written = WriteQuotas(child.plan, child.quotas);
  if (!written.ok()) SendNote(child, Note::kQuotasNotSet, written.error().code());
  return {};
}

Result<void> SetLimits(ChildState& child) {
  if (child.plan.processors > 0) TRY(KeepSomeProcessors(child.plan));
  const auto& limits = child.plan.limits;
  for (child.detail = 0; child.detail < limits.size(); ++child.detail) {
    const wire::ResourceLimit& limit = limits[child.detail];
    const rlimit64 now = TRY(sys::GetLimit(limit.resource));
    const std::uint64_t hard = std::min<std::uint64_t>(limit.hard, now.rlim_max);
    TRY(sys::SetLimit(limit.resource, {.rlim_cur = std::min(limit.soft, hard), .rlim_max = hard}));
  }
  return {};
}

Result<void> DropRights(ChildState& child) {
  TRY(sys::DropCapabilities());
  // The last look before foreign code: whoever started the launcher, the cell is its own
  // unprivileged user.
  CHECK(getuid() == child.plan.inside_uid && geteuid() == child.plan.inside_uid);
  CHECK(getgid() == child.plan.inside_gid && getegid() == child.plan.inside_gid);
  return {};
}

}  // namespace cellrun::launcher
