// SPDX-License-Identifier: Apache-2.0
#include "broker/peer/peer.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <string_view>

#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/socket.h"

namespace cellrun::peer {
namespace {

constexpr std::size_t kMaxStatusBytes = std::size_t{64} * 1024;

// The value of a line "NAME:\tVALUE"; nothing if there is no such line.
std::optional<std::string> LineValue(const std::string& text, std::string_view name) {
  const std::string start = "\n" + std::string(name) + ":\t";
  const std::size_t at = text.find(start);
  if (at == std::string::npos) return std::nullopt;
  const std::size_t begin = at + start.size();
  return text.substr(begin, text.find('\n', begin) - begin);
}

// NSpid lists the process's number in every pid namespace from that of /proc inwards: one number,
// if it is in no namespace below. Unlike /proc/PID/ns/pid it needs no ptrace access, so root may
// ask a user's broker.
Result<void> CheckNamespace(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/status";
  const std::string status = TRY(sys::ReadWholeFileAt(AT_FDCWD, path.c_str(), kMaxStatusBytes));
  if (LineValue(status, "NSpid") != std::to_string(pid)) {
    return Error(EPERM, "checking the caller", "it is in a cell or a container");
  }
  return {};
}

}  // namespace

Result<Peer> CheckPeer(const UniqueFd& connection) {
  const ucred peer = TRY(sys::PeerCredentials(connection));
  if (peer.uid != geteuid() && peer.uid != 0) {
    return Error(EPERM, "checking the caller", "it is another user's");
  }
  if (peer.pid <= 0) return Error(EPERM, "checking the caller", "it is outside our pid namespace");
  // Held while /proc is read: if the process still lives afterwards, its number was not another's.
  Result<UniqueFd> pidfd = sys::PeerPidfd(connection);
  if (!pidfd.ok() && pidfd.error().code() == ENOPROTOOPT) pidfd = sys::PidfdOpen(peer.pid);
  if (!pidfd.ok()) return std::move(pidfd).error().With("checking the caller");
  TRY(CheckNamespace(peer.pid));
  TRY(sys::PidfdSendSignal(pidfd.value(), 0).With("the caller has ended"));
  return Peer{.pid = peer.pid, .uid = peer.uid, .gid = peer.gid};
}

}  // namespace cellrun::peer
