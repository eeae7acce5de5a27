// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "launcher/doctor/child.h"
#include "launcher/doctor/probe.h"
#include "lib/sys/file.h"
#include "lib/sys/mount.h"
#include "lib/sys/process.h"

namespace cellrun::doctor {
namespace {

constexpr unsigned long long kMountFlags =
    CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC;

struct Setting {
  const char* key;
  const char* value;
};

// A file system of `type`, made and mounted without a place.
Result<UniqueFd> MakeFileSystem(const char* type, std::initializer_list<Setting> settings) {
  const UniqueFd context = TRY(sys::Fsopen(type));
  for (const Setting& setting : settings) {
    TRY(sys::FsconfigString(context, setting.key, setting.value));
  }
  TRY(sys::FsconfigCreate(context));
  return sys::Fsmount(context, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
}

Observation Observe(const Result<Reply>& reply, const std::string& detail = "") {
  if (!reply.ok()) return Missing(reply.error().ToString());
  if (reply->code != 0) return Missing(reply->text);
  return Present(detail);
}

Observation LookAtMountApi() {
  return Observe(InNamespaces(kMountFlags, []() -> Reply {
    auto work = []() -> Result<void> {
      const UniqueFd tmpfs = TRY(MakeFileSystem("tmpfs", {{"mode", "0755"}, {"size", "65536"}}));
      TRY(sys::MoveMount(tmpfs, AT_FDCWD, "/tmp"));
      TRY(sys::MkdirAt(AT_FDCWD, "/tmp/usr", 0755));
      const UniqueFd usr =
          TRY(sys::OpenTree(AT_FDCWD, "/usr", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
      mount_attr read_only{};
      read_only.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID;
      TRY(sys::MountSetattr(usr, AT_RECURSIVE, read_only));
      return sys::MoveMount(usr, AT_FDCWD, "/tmp/usr");
    }();
    return work.ok() ? Reply{} : Failed(work.error());
  }));
}

Reply MakeOnly(const char* type, std::initializer_list<Setting> settings) {
  auto made = MakeFileSystem(type, settings);
  return made.ok() ? Reply{} : Failed(made.error());
}

Observation LookAtProc() {
  return Observe(InNamespaces(kMountFlags, [] { return MakeOnly("proc", {}); }));
}

Observation LookAtHidepid() {
  return Observe(InNamespaces(kMountFlags, [] {
    return MakeOnly("proc", {{"hidepid", "invisible"}, {"subset", "pid"}});
  }));
}

Observation LookAtDevpts() {
  return Observe(InNamespaces(kMountFlags, [] {
    return MakeOnly("devpts", {{"ptmxmode", "0666"}, {"mode", "0620"}, {"max", "64"}});
  }));
}

Observation LookAtOverlay() {
  return Observe(InNamespaces(kMountFlags, []() -> Reply {
    auto work = []() -> Result<void> {
      const UniqueFd tmpfs = TRY(MakeFileSystem("tmpfs", {{"mode", "0755"}}));
      TRY(sys::MoveMount(tmpfs, AT_FDCWD, "/tmp"));
      for (const char* path : {"/tmp/l", "/tmp/u", "/tmp/w"}) {
        TRY(sys::MkdirAt(AT_FDCWD, path, 0755));
      }
      (void)TRY(MakeFileSystem(
          "overlay", {{"lowerdir", "/tmp/l"}, {"upperdir", "/tmp/u"}, {"workdir", "/tmp/w"}}));
      return {};
    }();
    return work.ok() ? Reply{} : Failed(work.error());
  }));
}

// A user namespace that maps one id, held by a child until `release` is closed.
Result<UniqueFd> NamespaceForMapping(sys::ChildProcess* holder) {
  auto [read, write] = TRY(sys::Pipe2(O_CLOEXEC));
  clone_args arguments{};
  int pidfd = -1;
  arguments.flags = CLONE_NEWUSER | CLONE_PIDFD;
  arguments.pidfd = reinterpret_cast<std::uintptr_t>(&pidfd);
  arguments.exit_signal = SIGCHLD;
  const pid_t pid = TRY(sys::Clone3(arguments));
  if (pid == 0) {
    write.Reset();
    char byte = 0;
    (void)sys::Read(read, {&byte, 1});  // returns when the parent is done, or gone
    _exit(0);
  }
  *holder = sys::ChildProcess(pid, UniqueFd(pidfd));
  const std::string directory = "/proc/" + std::to_string(pid);
  TRY(sys::WriteExistingFile((directory + "/uid_map").c_str(), "0 1000 1"));
  TRY(sys::WriteExistingFile((directory + "/gid_map").c_str(), "0 1000 1"));
  return sys::OpenAt(AT_FDCWD, (directory + "/ns/user").c_str(), O_RDONLY);
}

Observation LookAtIdmap() {
  if (geteuid() != 0) {
    return {.state = State::kNotNeeded, .detail = "only cells that root starts need it", .fix = ""};
  }
  return Observe(InChild([]() -> Reply {
                   auto work = []() -> Result<void> {
                     sys::ChildProcess holder;
                     const UniqueFd map = TRY(NamespaceForMapping(&holder));
                     const UniqueFd tree =
                         TRY(sys::OpenTree(AT_FDCWD, ".", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
                     mount_attr mapped{};
                     mapped.attr_set = MOUNT_ATTR_IDMAP;
                     mapped.userns_fd = static_cast<__u64>(map.get());
                     return sys::MountSetattr(tree, 0, mapped);
                   }();
                   return work.ok() ? Reply{} : Failed(work.error());
                 }),
                 "on the file system of the current directory");
}

constexpr std::array kProbes = {
    Probe{"kernel", kMountApi, Need::kRequired,
          "the file tree of a cell cannot be built without races", "use Linux 5.12 or later",
          LookAtMountApi, kUserNamespaces},
    Probe{"kernel", "devpts of its own", Need::kRequired,
          "a cell would share terminals with the host", "use a kernel with devpts", LookAtDevpts,
          kMountApi},
    Probe{"kernel", kProc, Need::kRecommended,
          "a cell sees the surrounding container's /proc, with the command lines of its processes",
          "start the surrounding container with --security-opt systempaths=unconfined", LookAtProc,
          kMountApi},
    Probe{"kernel", "proc with hidepid", Need::kInformation,
          "processes of one cell see each other's /proc entries", "use Linux 5.8 or later",
          LookAtHidepid, kProc},
    Probe{"kernel", "idmapped mounts", Need::kRecommended,
          "a cell started by root cannot have a writable workspace",
          "put the workspace on ext4, xfs, btrfs or (Linux 6.3) tmpfs", LookAtIdmap,
          kUserNamespaces},
    Probe{"kernel", "overlay in a user namespace", Need::kInformation,
          "workspace: overlay is not possible", "use Linux 5.11 or later", LookAtOverlay,
          kMountApi},
};

}  // namespace

std::span<const Probe> MountProbes() {
  return kProbes;
}

}  // namespace cellrun::doctor
