// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/mount.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

// <sys/mount.h> of glibc 2.36 redefines what <linux/mount.h> has, so the two old constants and
// calls are taken by number.
#include "lib/sys/returned.h"

namespace cellrun::sys {
namespace {

constexpr unsigned long kMsBind = 4096;
constexpr unsigned long kMsRec = 16384;
constexpr unsigned long kMsPrivate = 1UL << 18;

}  // namespace

Result<UniqueFd> OpenTree(int directory, const char* path, unsigned flags) {
  return Own(syscall(SYS_open_tree, directory, path, flags | OPEN_TREE_CLOEXEC), "open_tree");
}
Result<void> MoveMount(const UniqueFd& tree, int to_directory, const char* to) {
  return Check(syscall(SYS_move_mount, tree.get(), "", to_directory, to, MOVE_MOUNT_F_EMPTY_PATH),
               "move_mount");
}
Result<void> MountSetattr(const UniqueFd& tree, unsigned flags, mount_attr attributes) {
  return Check(syscall(SYS_mount_setattr, tree.get(), "", flags | AT_EMPTY_PATH, &attributes,
                       sizeof attributes),
               "mount_setattr");
}
Result<void> MountSetattrAt(int directory, const char* path, unsigned flags,
                            mount_attr attributes) {
  return Check(syscall(SYS_mount_setattr, directory, path, flags, &attributes, sizeof attributes),
               "mount_setattr");
}
Result<UniqueFd> Fsopen(const char* type) {
  return Own(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC), "fsopen");
}
Result<void> FsconfigString(const UniqueFd& context, const char* key, const char* value) {
  return Check(syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_STRING, key, value, 0),
               "fsconfig");
}
Result<void> FsconfigFlag(const UniqueFd& context, const char* key) {
  return Check(syscall(SYS_fsconfig, context.get(), FSCONFIG_SET_FLAG, key, nullptr, 0),
               "fsconfig");
}
Result<void> FsconfigCreate(const UniqueFd& context) {
  return Check(syscall(SYS_fsconfig, context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0),
               "fsconfig");
}
Result<UniqueFd> Fsmount(const UniqueFd& context, unsigned attributes) {
  return Own(syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes), "fsmount");
}
Result<void> MakeMountsPrivate() {
  return Check(syscall(SYS_mount, nullptr, "/", nullptr, kMsRec | kMsPrivate, nullptr), "mount");
}
Result<void> BindMount(const char* from, const char* to, bool recursive) {
  return Check(syscall(SYS_mount, from, to, nullptr, kMsBind | (recursive ? kMsRec : 0UL), nullptr),
               "mount");
}
Result<void> Mount(const char* source, const char* target, const char* type, unsigned long flags,
                   const char* data) {
  return Check(syscall(SYS_mount, source, target, type, flags, data), "mount");
}
Result<void> PivotRoot(const char* new_root, const char* put_old) {
  return Check(syscall(SYS_pivot_root, new_root, put_old), "pivot_root");
}
Result<void> Unmount(const char* path, int flags) {
  return Check(syscall(SYS_umount2, path, flags), "umount2");
}

}  // namespace cellrun::sys
