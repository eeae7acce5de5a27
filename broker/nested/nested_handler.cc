// SPDX-License-Identifier: Apache-2.0
#include "broker/nested/nested_handler.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "broker/nested/process_entry.h"
#include "broker/notify/remote_memory.h"
#include "lib/sys/file.h"
#include "lib/sys/seccomp.h"

namespace cellrun::nested {
namespace {

// What sandboxes mount. Not: cgroup2, whose files may be the user's own beyond the cell; sysfs, of
// which the cell shows nothing; overlay and fuse, which are large and made of other files.
constexpr std::array<std::string_view, 4> kTypes = {"proc", "tmpfs", "devpts", "mqueue"};
constexpr unsigned long kMagicMask = 0xffff0000, kMagic = 0xc0ed0000;  // MS_MGC_VAL
constexpr unsigned long kReadOnly = 1;                                 // MS_RDONLY

constexpr std::array<std::string_view, 3> kMaps = {"uid_map", "gid_map", "setgroups"};

template <std::size_t kCount>
bool Contains(const std::array<std::string_view, kCount>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Null stays null: some file systems tell the two apart.
Result<std::optional<std::string>> ReadOptional(notify::RemoteMemory& memory,
                                                std::uint64_t address) {
  if (address == 0) return std::optional<std::string>();
  return std::optional<std::string>(TRY(memory.ReadPath(address)));
}

Result<MountCall> ReadMountCall(notify::RemoteMemory& memory, const seccomp_data& data) {
  MountCall call;
  call.source = TRY(ReadOptional(memory, data.args[0]));
  call.target = TRY(memory.ReadPath(data.args[1]));
  call.type = TRY(memory.ReadPath(data.args[2]));
  call.data = TRY(ReadOptional(memory, data.args[4]));
  call.flags = data.args[3];
  if ((call.flags & kMagicMask) == kMagic) call.flags &= ~kMagicMask;
  if (call.type == "proc") call.flags |= kReadOnly;
  return call;
}

}  // namespace

// The arguments of openat(2).
struct NestedHandler::OpenCall {
  int directory = AT_FDCWD;
  std::uint64_t path = 0;
  int flags = 0;

  static OpenCall Of(const seccomp_data& data) {
    const auto& a = data.args;
    if (data.nr == SYS_open) return {.path = a[0], .flags = static_cast<int>(a[1])};
    return {.directory = static_cast<int>(a[0]), .path = a[1], .flags = static_cast<int>(a[2])};
  }
};

Result<StandIn> NestedHandler::StandInFor(const seccomp_notif& notification) const {
  StandIn stand_in =
      TRY(StandIn::For(static_cast<pid_t>(notification.pid), facts_.host_uid, facts_.host_gid));
  // Whoever waits still is the one whose namespaces were opened, not another task of its number.
  if (!sys::SeccompIdValid(listener_.fd(), notification.id)) return Error(ESRCH, "a stand-in");
  return stand_in;
}

std::string NestedHandler::Mount(const seccomp_notif& notification, notify::Lane& lane) const {
  notify::RemoteMemory memory(listener_, notification, lane.memory());
  const Result<MountCall> call = ReadMountCall(memory, notification.data);
  if (!call.ok()) {
    listener_.Refuse(notification.id, call.error().code() == EPERM ? EACCES : call.error().code());
    return "";
  }
  const Result<StandIn> stand_in = StandInFor(notification);
  if (!stand_in.ok() || !stand_in->MayAdminister()) return "not in a namespace of its own";
  if (!Contains(kTypes, call->type)) return "a file system that no cell mounts";
  (void)lane.EnsureReceiver();  // none: the others wait a moment
  const Result<void> mounted = stand_in->Mount(*call);
  if (mounted.ok()) {
    listener_.Return(notification.id, 0);
  } else {
    listener_.Refuse(notification.id, mounted.error().code());
  }
  return "";
}

void NestedHandler::Open(const seccomp_notif& notification, notify::Lane& lane) const {
  const OpenCall call = OpenCall::Of(notification.data);
  notify::RemoteMemory memory(listener_, notification, lane.memory());
  const Result<std::string> path = memory.ReadPath(call.path);
  if (path.ok() && Contains(kMaps, path->substr(path->rfind('/') + 1))) {
    (void)lane.EnsureReceiver();  // none: the others wait a moment
    const Result<UniqueFd> map = OpenMap(notification, call, *path);
    if (map.ok()) {
      const Result<int> sent = sys::SeccompReplyFd(listener_.fd(), notification.id, *map);
      if (sent.ok() || sent.error().code() == ENOENT) return;
      return listener_.Refuse(notification.id, sent.error().code());  // EMFILE
    }
  }
  // CONTINUE-SITE(open-for-writing, class c): whatever path the kernel reads now, every procfs in
  // sight is read-only, so that this opens no file of one; of the rest the mount tree decides.
  (void)sys::SeccompContinue(listener_.fd(), notification.id);
}

Result<UniqueFd> NestedHandler::OpenMap(const seccomp_notif& notification, const OpenCall& call,
                                        const std::string& path) const {
  const auto tid = static_cast<pid_t>(notification.pid);
  const std::size_t slash = path.rfind('/');
  const std::string name = path.substr(slash + 1);
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const exec::Resolver view = TRY(resolver_.ViewOf(tid));
  const exec::File entry =
      TRY(view.Resolve({.tid = tid, .directory = call.directory, .path = directory}));
  const struct statfs facts = TRY(sys::Fstatfs(entry.fd));
  if (facts.f_type != PROC_SUPER_MAGIC) return Error(ENOENT, "looking for an id map");
  const pid_t pid = TRY(ProcessOfEntry(entry.fd, tid));
  const StandIn stand_in = TRY(StandInFor(notification));
  return stand_in.Open("/proc/" + std::to_string(pid) + "/" + name,
                       (call.flags & (O_ACCMODE | O_TRUNC | O_APPEND)) | O_CLOEXEC | O_NOFOLLOW);
}

}  // namespace cellrun::nested
