// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/remount.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/sys/file.h"
#include "lib/sys/mount.h"
#include "lib/wire/control.h"

namespace cellrun::cells {
namespace {

constexpr open_how kInCell = {
    .flags = O_PATH | O_NOFOLLOW, .mode = 0, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS};

Result<struct stat> Expected(const Remount& remount) {
  const Result<UniqueFd> found = sys::OpenAt2(AT_FDCWD, remount.path.c_str(), kInCell);
  if (!found.ok()) return Error(EAGAIN, "openat2");
  const struct stat facts = TRY(sys::Fstat(*found));
  // The cell made it a link meanwhile, or the host replaced it once more.
  if (facts.st_dev != remount.device || facts.st_ino != remount.inode)
    return Error(EAGAIN, "fstat");
  return facts;
}

// By mount(2): open_tree(2) makes a mount namespace each time, of which a cell may have none.
Result<void> Mount(const Remount& remount) {
  const struct stat facts = TRY(Expected(remount));
  const char* path = remount.path.c_str();
  if (remount.kind == Remount::Kind::kHide) {
    return sys::BindMount(S_ISDIR(facts.st_mode) ? wire::kEmptyDirectory : wire::kEmptyFile, path,
                          false);
  }
  TRY(sys::BindMount(path, path, true));
  const UniqueFd mounted = TRY(sys::OpenAt2(AT_FDCWD, path, kInCell));
  const struct stat now = TRY(sys::Fstat(mounted));
  if (now.st_dev != remount.device || now.st_ino != remount.inode) return Error(EAGAIN, "fstat");
  if (remount.kind == Remount::Kind::kPin) return {};
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  return sys::MountSetattr(mounted, AT_RECURSIVE, attributes);
}

Result<void> MountAll(const CellNamespaces& namespaces, const std::vector<Remount>& remounts) {
  TRY(sys::SetNamespace(namespaces.user, CLONE_NEWUSER));
  TRY(sys::SetNamespace(namespaces.mount, CLONE_NEWNS));
  for (const Remount& remount : remounts) TRY(Mount(remount));
  return {};
}

}  // namespace

Result<std::unique_ptr<RemountJob>> RemountJob::Start(loop::Loop& loop,
                                                      const CellNamespaces& namespaces,
                                                      const std::vector<Remount>& remounts,
                                                      std::chrono::nanoseconds deadline,
                                                      OnDone done) {
  // fork(3) rather than clone3: it leaves the allocator usable in the child of a process with
  // threads. setns(2) into a user namespace needs a process of one thread, which a child is.
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError("fork");
  if (pid == 0) {
    const Result<void> mounted = MountAll(namespaces, remounts);
    _exit(mounted.ok() ? 0 : mounted.error().code());
  }
  Result<UniqueFd> pidfd = sys::PidfdOpen(pid);  // not reaped yet, so it is this child
  sys::ChildProcess child(pid, pidfd.ok() ? std::move(*pidfd) : UniqueFd());
  if (!pidfd.ok()) {
    (void)child.Wait();  // it ends by itself
    return pidfd.error();
  }
  return std::unique_ptr<RemountJob>(
      new RemountJob(loop, std::move(child), deadline, std::move(done)));
}

RemountJob::RemountJob(loop::Loop& loop, sys::ChildProcess child, std::chrono::nanoseconds deadline,
                       OnDone done)
    : child_(std::move(child)),
      done_(std::move(done)),
      ended_(loop.WatchReadable(child_.pidfd(), [this] { OnEnd(); })),
      deadline_(loop.After(deadline, [this] {
        late_ = true;
        (void)child_.Kill();  // ESRCH: it has ended
      })) {}

void RemountJob::OnEnd() {
  ended_.reset();
  deadline_.reset();
  const Result<int> status = child_.Wait();
  int code = ECHILD;
  if (late_) {
    code = ETIME;
  } else if (status.ok() && WIFEXITED(*status)) {
    code = WEXITSTATUS(*status);
  }
  const OnDone done = std::move(done_);  // it may destroy this
  done(code);
}

}  // namespace cellrun::cells
