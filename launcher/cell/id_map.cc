// SPDX-License-Identifier: Apache-2.0
#include "launcher/cell/id_map.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <string>

#include "launcher/cell/mount_attributes.h"
#include "lib/sys/file.h"
#include "lib/sys/mount.h"
#include "lib/sys/process.h"

namespace cellrun::launcher {
namespace {

// A user namespace that nobody enters: it only carries a map. Its one process ends before this
// returns, since a fork without exec holds copies of every descriptor here.
Result<UniqueFd> MakeMapNamespace(const std::string& uid_map, const std::string& gid_map) {
  sys::Pipe done = TRY(sys::Pipe2(O_CLOEXEC));
  clone_args arguments{};
  arguments.flags = CLONE_NEWUSER;
  arguments.exit_signal = SIGCHLD;
  const pid_t pid = TRY(sys::Clone3(arguments));
  if (pid == 0) {
    done.write.Reset();
    std::array<char, 1> end{};
    (void)sys::Read(done.read, end);
    _exit(0);
  }
  sys::ChildProcess holder(pid, TRY(sys::PidfdOpen(pid)));
  const std::string proc = "/proc/" + std::to_string(pid);
  TRY(sys::WriteExistingFile((proc + "/uid_map").c_str(), uid_map));
  TRY(sys::WriteExistingFile((proc + "/gid_map").c_str(), gid_map));
  UniqueFd found = TRY(sys::OpenAt(AT_FDCWD, (proc + "/ns/user").c_str(), O_RDONLY));
  done.write.Reset();
  (void)TRY(holder.Wait());
  return found;
}

}  // namespace

Result<const UniqueFd*> IdMapper::NamespaceFor(uid_t uid, gid_t gid) {
  const std::pair owner(uid, gid);
  auto found = namespaces_.find(owner);
  if (found == namespaces_.end()) {
    const std::string uid_map = std::to_string(uid) + " " + std::to_string(cell_uid_) + " 1";
    const std::string gid_map = std::to_string(gid) + " " + std::to_string(cell_gid_) + " 1";
    found = namespaces_.emplace(owner, TRY(MakeMapNamespace(uid_map, gid_map))).first;
  }
  return &found->second;
}

Result<UniqueFd> IdMapper::CloneMapped(const wire::MountStep& step) {
  UniqueFd tree = TRY(sys::OpenTree(AT_FDCWD, step.from.c_str(), OPEN_TREE_CLONE | AT_RECURSIVE));
  const struct stat facts = TRY(sys::Fstat(tree));
  const UniqueFd* owner = TRY(NamespaceFor(facts.st_uid, facts.st_gid));
  mount_attr attributes{};
  attributes.attr_set = BindAttributes(step) | MOUNT_ATTR_IDMAP;
  attributes.propagation = kPrivatePropagation;
  attributes.userns_fd = static_cast<unsigned>(owner->get());
  TRY(sys::MountSetattr(tree, AT_RECURSIVE, attributes));
  return tree;
}

}  // namespace cellrun::launcher
