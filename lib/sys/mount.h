// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/mount.h>
#include <sched.h>  // before sys/mount.h users: glibc and kernel headers clash

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

// The mount API of 5.2 and later (open_tree(2) and friends) and what is still needed of the old
// one. No allocation on success: callable between clone and exec.
namespace cellrun::sys {

Result<UniqueFd> OpenTree(int directory, const char* path, unsigned flags);
// `to` is resolved from `to_directory`; the source is the tree itself.
Result<void> MoveMount(const UniqueFd& tree, int to_directory, const char* to);
Result<void> MountSetattr(const UniqueFd& tree, unsigned flags, mount_attr attributes);
// Of the topmost mount at `path`, through links.
Result<void> MountSetattrAt(int directory, const char* path, unsigned flags, mount_attr attributes);
Result<UniqueFd> Fsopen(const char* type);
Result<void> FsconfigString(const UniqueFd& context, const char* key, const char* value);
Result<void> FsconfigFlag(const UniqueFd& context, const char* key);
Result<void> FsconfigCreate(const UniqueFd& context);
Result<UniqueFd> Fsmount(const UniqueFd& context, unsigned attributes);
Result<void> MakeMountsPrivate();  // mount(MS_REC | MS_PRIVATE) of "/"
// mount(MS_BIND), which unlike open_tree makes no mount namespace. Follows links in both.
Result<void> BindMount(const char* from, const char* to, bool recursive);
// mount(2) as it is; source and data may be null.
Result<void> Mount(const char* source, const char* target, const char* type, unsigned long flags,
                   const char* data);
Result<void> PivotRoot(const char* new_root, const char* put_old);
Result<void> Unmount(const char* path, int flags);

}  // namespace cellrun::sys
