// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>

#include <algorithm>
#include <array>

#include "launcher/cell/mount_attributes.h"
#include "launcher/cell/steps.h"
#include "lib/sys/file.h"
#include "lib/sys/mount.h"

namespace cellrun::launcher {
namespace {

Result<UniqueFd> CloneSource(const char* path, std::uint64_t attributes) {
  // Recursive always: in a less privileged mount namespace submounts are locked to their parent,
  // and cloning the parent alone is refused (EINVAL).
  UniqueFd tree = TRY(sys::OpenTree(AT_FDCWD, path, OPEN_TREE_CLONE | AT_RECURSIVE));
  mount_attr wanted{};
  wanted.attr_set = attributes;
  wanted.propagation = kPrivatePropagation;
  TRY(sys::MountSetattr(tree, AT_RECURSIVE, wanted));
  return tree;
}

UniqueFd TakeEarly(std::vector<EarlySource>& sources, const wire::MountStep& step) {
  const auto early = std::find_if(sources.begin(), sources.end(), [&](const EarlySource& source) {
    return source.tree.valid() && source.path == step.from &&
           source.attributes == BindAttributes(step);
  });
  return early == sources.end() ? UniqueFd() : std::move(early->tree);
}

Result<UniqueFd> OpenProc(const char* hide, bool read_only) {
  const UniqueFd context = TRY(sys::Fsopen("proc"));
  if (hide != nullptr) TRY(sys::FsconfigString(context, "hidepid", hide));
  TRY(sys::FsconfigCreate(context));
  return sys::Fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                                   (read_only ? MOUNT_ATTR_RDONLY : 0U));
}

// In a container whose /proc is partly covered the kernel refuses a new one (mount_too_revealing).
// The outer /proc, with what covers it, still resolves /proc/self; ptrace rules keep its other
// tasks' memory and files closed.
Result<UniqueFd> BindOuterProc() {
  UniqueFd tree = TRY(sys::OpenTree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | AT_RECURSIVE));
  mount_attr attributes{};
  // Read-only: tasks of the same user own what is in there (oom_score_adj), and not every kernel
  // has Landlock.
  attributes.attr_set =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  attributes.propagation = kPrivatePropagation;
  TRY(sys::MountSetattr(tree, AT_RECURSIVE, attributes));
  return tree;
}

}  // namespace

std::uint64_t BindAttributes(const wire::MountStep& step) {
  return MOUNT_ATTR_NOSUID | (step.devices ? 0U : MOUNT_ATTR_NODEV) |
         (step.read_only ? MOUNT_ATTR_RDONLY : 0U) | (step.no_exec ? MOUNT_ATTR_NOEXEC : 0U);
}

// What every cell with the host's root has of it: a plan with another root leaves it unused.
Result<void> PrepareSources(ChildState& child) {
  constexpr std::uint64_t kTree = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY;
  constexpr std::uint64_t kDevice = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
  constexpr std::array kSources = {
      std::pair{"/usr", kTree},          std::pair{"/etc", kTree},
      std::pair{"/opt", kTree},          std::pair{"/dev/null", kDevice},
      std::pair{"/dev/zero", kDevice},   std::pair{"/dev/full", kDevice},
      std::pair{"/dev/random", kDevice}, std::pair{"/dev/urandom", kDevice},
      std::pair{"/dev/tty", kDevice}};
  for (const auto& [path, attributes] : kSources) {
    Result<UniqueFd> tree = CloneSource(path, attributes);
    if (tree.ok()) child.prepared.sources.push_back({path, attributes, std::move(*tree)});
  }
  if (child.by_root) return {};  // /proc is to be its user's
  if (Result<UniqueFd> proc = OpenProc("invisible", false); proc.ok())
    child.prepared.proc = std::move(*proc);
  return {};
}

// Before anything is mounted, so that nothing of the new tree can cover a source; with the
// launcher's own rights on the host's files, which the cell's user of a root-run cell does not
// have.
Result<void> OpenSources(ChildState& child) {
  const auto& mounts = child.plan.mounts;
  for (child.detail = 0; child.detail < mounts.size(); ++child.detail) {
    const wire::MountStep& step = mounts[child.detail];
    UniqueFd& tree = child.trees[child.detail];
    if (step.kind != wire::MountKind::kBind || (child.by_root && step.id_map)) continue;
    tree = TakeEarly(child.prepared.sources, step);
    if (tree.valid()) continue;
    Result<UniqueFd> opened = CloneSource(step.from.c_str(), BindAttributes(step));
    if (!opened.ok() && opened.error().code() == ENOENT && step.optional) continue;
    tree = TRY(std::move(opened));
  }
  child.prepared.sources.clear();
  return {};
}

// Mounted while the old root is still there: the kernel wants to see a whole /proc in the namespace
// first.
Result<void> PrepareProc(ChildState& child) {
  const auto& mounts = child.plan.mounts;
  const auto wanted = std::find_if(mounts.begin(), mounts.end(), [](const wire::MountStep& step) {
    return step.kind == wire::MountKind::kProc;
  });
  if (wanted == mounts.end() || wanted->read_only) child.prepared.proc.Reset();
  if (wanted == mounts.end() || child.prepared.proc.valid()) return {};
  Result<UniqueFd> proc = OpenProc("invisible", wanted->read_only);
  if (!proc.ok() && proc.error().code() == EINVAL) {
    SendNote(child, Note::kProcNotHiding);
    proc = OpenProc(nullptr, wanted->read_only);
  }
  if (!proc.ok() && (proc.error().code() == EPERM || proc.error().code() == EACCES)) {
    SendNote(child, Note::kProcBound, proc.error().code());
    proc = BindOuterProc();
  }
  child.prepared.proc = TRY(std::move(proc));
  return {};
}

}  // namespace cellrun::launcher
