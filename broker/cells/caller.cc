// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/caller.h"

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <map>
#include <string>

#include "lib/sys/file.h"
#include "lib/sys/socket.h"

namespace cellrun::cells {
namespace {

std::string UserName(uid_t uid) {
  std::array<char, 4096>
      buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the call
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(uid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return std::to_string(uid);
  return found->pw_name;
}
std::string GroupName(gid_t gid) {
  std::array<char, 16384>
      buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by the call
  group entry{};
  group* found = nullptr;
  if (getgrgid_r(gid, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return std::to_string(gid);
  return found->gr_name;
}

}  // namespace

Result<ucred> CheckPeer(const UniqueFd& connection) {
  const ucred peer = TRY(sys::PeerCredentials(connection));
  if (peer.uid != geteuid() && peer.uid != 0) return Error(EPERM, "", "the caller is another user");
  // The pid may have been recycled since connect, but only by a process that was outside too or by
  // one of a cell, which cannot reach this socket's path: either way the answer errs on the safe
  // side.
  const std::string proc = "/proc/" + std::to_string(peer.pid) + "/ns/pid";
  const struct stat theirs =
      TRY(sys::FstatAt(AT_FDCWD, proc.c_str(), 0).With("the caller's pid namespace"));
  const struct stat ours = TRY(sys::FstatAt(AT_FDCWD, "/proc/self/ns/pid", 0));
  if (theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev) {
    return Error(EPERM, "", "the caller is in a cell or a container");
  }
  return peer;
}

Caller Identify(const ucred& peer) {
  // Asking the name service costs up to milliseconds; there is one caller, seldom two.
  static std::map<std::pair<uid_t, gid_t>, Caller> known;
  const auto key = std::pair(peer.uid, peer.gid);
  const auto found = known.find(key);
  if (found != known.end()) return found->second;
  Caller caller{
      .uid = peer.uid, .gid = peer.gid, .user = UserName(peer.uid), .group = GroupName(peer.gid)};
  known.emplace(key, caller);
  return caller;
}

}  // namespace cellrun::cells
