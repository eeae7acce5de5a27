// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::sys {

Result<std::pair<UniqueFd, UniqueFd>> SocketPair(int type);  // AF_UNIX
Result<UniqueFd> UnixSocket(int type);
// Paths longer than sun_path go through /proc/self/fd of the parent directory. ENAMETOOLONG only
// for the last component.
Result<void> BindUnix(const UniqueFd& socket, const std::string& path);
Result<void> ConnectUnix(const UniqueFd& socket, const std::string& path);
Result<void> Listen(const UniqueFd& socket, int backlog);
Result<UniqueFd> Accept(const UniqueFd& socket, int flags);
Result<ucred> PeerCredentials(const UniqueFd& socket);
// Of the process that connected, whatever its pid is used for by now. 6.5; ENOPROTOOPT before.
Result<UniqueFd> PeerPidfd(const UniqueFd& socket);

inline constexpr std::size_t kMaxMessageFds = 16;

struct Message {
  std::string bytes;          // empty at end of file
  std::vector<UniqueFd> fds;  // CLOEXEC; at most kMaxMessageFds
  pid_t sender = 0;           // in this pid namespace; 0 without PassCredentials
  bool truncated = false;     // more bytes or descriptors were sent than fit; what did not fit was
                              // closed by the kernel
};

// What is received from now on says which process sent it, by the kernel's word.
Result<void> PassCredentials(const UniqueFd& socket);
// One packet with descriptors; MSG_NOSIGNAL. EAGAIN is an error.
Result<void> SendMessage(const UniqueFd& socket, std::string_view bytes, std::span<const int> fds);
// One packet of at most `limit_bytes`. EAGAIN is an error. Of a peer that has gone with something
// unread (ECONNRESET, which the kernel tells once and first) what it has sent still comes, and then
// an empty packet.
Result<Message> ReceiveMessage(const UniqueFd& socket, std::size_t limit_bytes, int flags = 0);

}  // namespace cellrun::sys
