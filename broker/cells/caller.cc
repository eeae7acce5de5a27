// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/caller.h"

#include <grp.h>
#include <pwd.h>

#include <array>
#include <map>
#include <string>

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

Caller Identify(const peer::Peer& peer) {
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
