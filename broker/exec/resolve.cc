// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/resolve.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>

#include <utility>

#include "broker/exec/mount_table.h"
#include "broker/exec/task.h"
#include "broker/exec/walk.h"
#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

constexpr std::uint64_t kInTree = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
constexpr std::uint64_t kPlain = kInTree | RESOLVE_NO_SYMLINKS;
constexpr std::uint64_t kBelow = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
constexpr std::string_view kDeleted = " (deleted)";
constexpr int kTries = 8;

// EAGAIN: ".." met a rename somewhere on the system; the walker has no such trouble.
Result<UniqueFd> OpenTry(const UniqueFd& directory, const char* path, std::uint64_t flags,
                         std::uint64_t resolve) {
  const open_how how{.flags = O_PATH | flags, .mode = 0, .resolve = resolve};
  Result<UniqueFd> opened = sys::OpenAt2(directory.get(), path, how);
  for (int i = 1; i < kTries && !opened.ok() && opened.error().code() == EAGAIN; ++i) {
    opened = sys::OpenAt2(directory.get(), path, how);
  }
  return opened;
}

std::string DescriptorPath(const UniqueFd& fd) {
  return "/proc/self/fd/" + std::to_string(fd.get());
}

// A path that was found without meeting a link is the canonical one if it is written like one.
bool IsWrittenOut(std::string_view path) {
  if (!path.starts_with('/') || path.ends_with('/')) return false;
  for (const std::string_view part : {"//", "/./", "/../"}) {
    if (path.find(part) != std::string_view::npos) return false;
  }
  return !path.ends_with("/.") && !path.ends_with("/..");
}

// File systems where a name has one spelling only, unless whoever made them wanted it otherwise; on
// others the link in /proc says how the name is spelt.
bool HasOneSpelling(const struct statfs& mount) {
  switch (static_cast<unsigned long>(mount.f_type)) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case OVERLAYFS_SUPER_MAGIC:
    case SQUASHFS_MAGIC:
    case TMPFS_MAGIC:
      return true;
    default:
      return false;
  }
}

// Whether openat2's answer is also the task's. It is not where links of procfs to objects are met
// (ELOOP), where a path leaves a directory descriptor (EXDEV), and where "missing" may come from
// /proc/self, which is nobody for the broker. That link is a symbolic one, so a lookup that is
// missing something before it meets any link is missing it for everybody.
bool IsFinal(int code, const UniqueFd& directory, const char* path, std::uint64_t flags,
             std::uint64_t resolve) {
  if (code == ELOOP || code == EXDEV || code == EAGAIN) return false;
  if (code != ENOENT) return true;
  const Result<UniqueFd> plain = OpenTry(directory, path, flags, resolve | RESOLVE_NO_SYMLINKS);
  return !plain.ok() && plain.error().code() == ENOENT;
}

// The same inode, reached through the same mount.
Result<bool> IsSameObject(const UniqueFd& a, const UniqueFd& b) {
  const unsigned mask = STATX_INO | STATX_MNT_ID;
  const struct statx here = TRY(sys::Statx(a.get(), "", AT_EMPTY_PATH, mask));
  const struct statx there = TRY(sys::Statx(b.get(), "", AT_EMPTY_PATH, mask));
  return here.stx_ino == there.stx_ino && here.stx_dev_major == there.stx_dev_major &&
         here.stx_dev_minor == there.stx_dev_minor && here.stx_mnt_id == there.stx_mnt_id;
}

}  // namespace

Result<Resolver> Resolver::ForCell(pid_t init_pid) {
  Resolver cell(
      TRY(sys::OpenAt(AT_FDCWD, ProcPath(init_pid, "root").c_str(), O_PATH | O_DIRECTORY)));
  cell.task_ = init_pid;
  return cell;
}

Result<Resolver> Resolver::ViewOf(pid_t tid) const {
  Resolver view(TRY(sys::OpenAt(AT_FDCWD, ProcPath(tid, "root").c_str(), O_PATH | O_DIRECTORY)));
  view.task_ = tid;
  // A mount belongs to one namespace.
  if (!TRY(IsSameObject(root_, view.root_))) view.cell_ = this;
  return view;
}

Result<Resolver::Opened> Resolver::OpenFrom(const UniqueFd& start, const Lookup& lookup) const {
  const std::string path(lookup.path);
  if (path.size() >= PATH_MAX) return Error(ENAMETOOLONG, "openat2");
  const bool absolute = path.starts_with('/');
  const UniqueFd& directory = absolute ? root_ : start;
  const std::uint64_t resolve = absolute ? kInTree : kBelow;
  const std::uint64_t flags = lookup.follow_last ? 0 : O_NOFOLLOW;
  if (absolute) {
    // Without links what is missing is missing for everybody, and what is found needs no more
    // questions: this is what an execve mostly asks for.
    Result<UniqueFd> plain = OpenTry(root_, path.c_str(), flags, kPlain);
    if (plain.ok()) return Opened{std::move(plain).value(), true, IsWrittenOut(path) ? path : ""};
    if (plain.error().code() != ELOOP && plain.error().code() != EAGAIN) return plain.error();
  }
  Result<UniqueFd> opened = OpenTry(directory, path.c_str(), flags, resolve);
  if (opened.ok()) return Opened{std::move(opened).value(), absolute, ""};
  if (IsFinal(opened.error().code(), directory, path.c_str(), flags, resolve)) {
    return opened.error();
  }
  Walked walked = TRY(WalkPath(root_, start, path, {lookup.tid, lookup.follow_last}));
  return Opened{std::move(walked.fd), absolute && !walked.left_tree, ""};
}

Result<Resolver::Opened> Resolver::Open(const Lookup& lookup) const {
  if (lookup.path.empty()) {
    if (!lookup.empty_path) return Error(ENOENT, "openat2");
    if (lookup.directory != AT_FDCWD) {
      return Opened{TRY(OpenDescriptor(lookup.tid, lookup.directory)), false, ""};
    }
  }
  if (lookup.path.starts_with('/')) return OpenFrom(root_, lookup);
  UniqueFd start =
      lookup.directory == AT_FDCWD
          ? TRY(sys::OpenAt(AT_FDCWD, ProcPath(lookup.tid, "cwd").c_str(), O_PATH | O_DIRECTORY))
          : TRY(OpenDescriptor(lookup.tid, lookup.directory));
  if (lookup.path.empty()) return Opened{std::move(start), false, ""};
  return OpenFrom(start, lookup);
}

// Whether the canonical path leads to the very same object in the cell's tree: not so for deleted
// files, memory files, and what came in from outside through a descriptor.
bool Resolver::Belongs(const File& file) const {
  const Result<UniqueFd> again =
      OpenTry(root_, file.path.c_str(), O_NOFOLLOW, kInTree | RESOLVE_NO_SYMLINKS);
  if (!again.ok()) return false;
  const Result<bool> same = IsSameObject(file.fd, *again);
  return same.ok() && *same;
}

// Whether the cell's tree has the very file under that name; if so, that is what it is called, and
// whether the cell can write it is a question of that tree as well.
bool Resolver::IsNamed(const std::string& name, File& file) const {
  Result<UniqueFd> same = OpenTry(root_, name.c_str(), O_NOFOLLOW, kPlain);
  if (!same.ok()) return false;
  const Result<File> known = Describe(Opened{std::move(*same), true, ""});
  if (!known.ok() || known->anonymous || !(known->id() == file.id())) return false;
  file.path = known->path;
  file.on_writable_mount = known->on_writable_mount;
  return true;
}

// `file.path` is a name in a mount namespace that the cell's user made, where any name can be given
// to any file. Mostly it is the same in the cell's tree.
void Resolver::Recognize(File& file) const {
  MountedName name{.task = task_, .path = file.path};
  const Result<std::string> root = sys::ReadLinkAt(AT_FDCWD, DescriptorPath(root_).c_str());
  if (root.ok() && name.path.starts_with(*root + "/")) name.path.erase(0, root->size());
  if (cell_->IsNamed(file.path, file) || cell_->IsNamed(name.path, file)) return;
  const Result<struct statx> facts = sys::Statx(file.fd.get(), "", AT_EMPTY_PATH, STATX_MNT_ID);
  if (facts.ok()) {
    name.mount = facts->stx_mnt_id;
    for (const std::string& other : NamesElsewhere(name, cell_->task_)) {
      if (cell_->IsNamed(other, file)) return;
    }
  }
  file.anonymous = true;
  file.on_writable_mount = true;
}

Result<File> Resolver::Describe(Opened opened) const {
  File file;
  file.fd = std::move(opened.fd);
  file.facts = TRY(sys::Fstat(file.fd));
  const struct statfs mount = TRY(sys::Fstatfs(file.fd));
  const auto flags = static_cast<unsigned long>(mount.f_flags);
  file.on_writable_mount = (flags & ST_RDONLY) == 0;
  file.on_noexec_mount = (flags & ST_NOEXEC) != 0;
  if (cell_ == nullptr && !opened.canonical.empty() && !file.on_writable_mount &&
      HasOneSpelling(mount)) {
    file.path = std::move(opened.canonical);
    return file;
  }
  file.path = TRY(sys::ReadLinkAt(AT_FDCWD, DescriptorPath(file.fd).c_str()));
  if (cell_ != nullptr) {
    Recognize(file);
    return file;
  }
  const bool sure =
      opened.in_tree && file.facts.st_nlink > 0 && !std::string_view(file.path).ends_with(kDeleted);
  file.anonymous = !sure && !Belongs(file);
  return file;
}

Result<File> Resolver::Describe(UniqueFd fd) const {
  return Describe(Opened{std::move(fd), false, ""});
}
Result<File> Resolver::Resolve(const Lookup& lookup) const {
  return Describe(TRY(Open(lookup)));
}

bool Resolver::IsStable(const Lookup& lookup, const File& file) const {
  if (file.anonymous || file.on_writable_mount) return false;
  // Anything can be mounted over any name meanwhile.
  if (cell_ != nullptr) return false;
  if (lookup.directory != AT_FDCWD) return false;
  UniqueFd start;
  if (!lookup.path.starts_with('/')) {
    Result<UniqueFd> cwd =
        sys::OpenAt(AT_FDCWD, ProcPath(lookup.tid, "cwd").c_str(), O_PATH | O_DIRECTORY);
    if (!cwd.ok()) return false;
    start = std::move(cwd).value();
  }
  const Result<Walked> walked = WalkPath(root_, start, lookup.path, {lookup.tid, true});
  return walked.ok() && walked->stable;
}

int CannotExecute(const File& file) {
  if (S_ISLNK(file.facts.st_mode)) return ELOOP;  // AT_SYMLINK_NOFOLLOW
  if (!S_ISREG(file.facts.st_mode)) return EACCES;
  if (file.on_noexec_mount) return EACCES;
  if ((file.facts.st_mode & (S_IXUSR | S_IXGRP | S_IXOTH)) == 0) return EACCES;
  return 0;
}

Result<UniqueFd> OpenContents(const File& file) {
  if (!S_ISREG(file.facts.st_mode)) return Error(EACCES, "openat");
  return sys::OpenAt(AT_FDCWD, DescriptorPath(file.fd).c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

}  // namespace cellrun::exec
