// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/socket.h"

#include <fcntl.h>

#include <array>
#include <cstring>
#include <utility>

#include "lib/sys/file.h"
#include "lib/sys/returned.h"
#include "lib/sys/uapi.h"

namespace cellrun::sys {
namespace {

// Calls `use` with the address of `path`. A path that does not fit is reached through its
// directory's descriptor.
template <typename Use>
Result<void> WithAddress(const std::string& path, Use use) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  UniqueFd directory;
  std::string name = path;
  if (name.size() >= sizeof address.sun_path) {
    const std::size_t slash = path.rfind('/');
    if (slash == std::string::npos) return Error(ENAMETOOLONG, "socket path");
    directory = TRY(OpenAt(AT_FDCWD, path.substr(0, slash).c_str(), O_PATH | O_DIRECTORY));
    name = "/proc/self/fd/" + std::to_string(directory.get()) + path.substr(slash);
    if (name.size() >= sizeof address.sun_path) return Error(ENAMETOOLONG, "socket path");
  }
  memcpy(&address.sun_path[0], name.c_str(), name.size() + 1);
  return use(reinterpret_cast<const sockaddr*>(&address), socklen_t{sizeof address});
}

}  // namespace

Result<std::pair<UniqueFd, UniqueFd>> SocketPair(int type) {
  std::array<int, 2> fds{};
  TRY(Check(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds.data()), "socketpair"));
  return std::pair(UniqueFd(fds[0]), UniqueFd(fds[1]));
}
Result<UniqueFd> UnixSocket(int type) {
  const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError("socket");
  return UniqueFd(fd);
}
Result<void> BindUnix(const UniqueFd& socket, const std::string& path) {
  return WithAddress(path, [&](const sockaddr* address, socklen_t length) {
    return Check(bind(socket.get(), address, length), "bind");
  });
}
Result<void> ConnectUnix(const UniqueFd& socket, const std::string& path) {
  return WithAddress(path, [&](const sockaddr* address, socklen_t length) {
    return Check(connect(socket.get(), address, length), "connect");
  });
}
Result<void> Listen(const UniqueFd& socket, int backlog) {
  return Check(listen(socket.get(), backlog), "listen");
}
Result<UniqueFd> Accept(const UniqueFd& socket, int flags) {
  int fd = accept4(socket.get(), nullptr, nullptr, flags | SOCK_CLOEXEC);
  while (fd < 0 && errno == EINTR)
    fd = accept4(socket.get(), nullptr, nullptr, flags | SOCK_CLOEXEC);
  if (fd < 0) return ErrnoError("accept4");
  return UniqueFd(fd);
}
Result<ucred> PeerCredentials(const UniqueFd& socket) {
  ucred peer{};
  socklen_t length = sizeof peer;
  TRY(Check(getsockopt(socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &length),
            "getsockopt(SO_PEERCRED)"));
  return peer;
}

Result<UniqueFd> PeerPidfd(const UniqueFd& socket) {
  int pidfd = -1;
  socklen_t length = sizeof pidfd;
  if (getsockopt(socket.get(), SOL_SOCKET, uapi::kSoPeerPidfd, &pidfd, &length) != 0) {
    return ErrnoError("getsockopt SO_PEERPIDFD");
  }
  return UniqueFd(pidfd);
}

Result<void> PassCredentials(const UniqueFd& socket) {
  constexpr int kOn = 1;
  return Check(setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &kOn, sizeof kOn),
               "setsockopt(SO_PASSCRED)");
}

Result<void> SendMessage(const UniqueFd& socket, std::string_view bytes, std::span<const int> fds) {
  if (fds.size() > kMaxMessageFds) return Error(EINVAL, "sendmsg");
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxMessageFds * sizeof(int))> control{};
  iovec data{.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  ssize_t sent = sendmsg(socket.get(), &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR) sent = sendmsg(socket.get(), &message, MSG_NOSIGNAL);
  return Check(sent, "sendmsg");
}

Result<Message> ReceiveMessage(const UniqueFd& socket, std::size_t limit_bytes, int flags) {
  Message received;
  received.bytes.resize(limit_bytes);
  // Room for one descriptor more than allowed, so that "too many" is seen and not just cut off.
  alignas(cmsghdr)
      std::array<char, CMSG_SPACE((kMaxMessageFds + 1) * sizeof(int)) + CMSG_SPACE(sizeof(ucred))>
          control{};
  iovec data{.iov_base = received.bytes.data(), .iov_len = received.bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t got = recvmsg(socket.get(), &message, flags | MSG_CMSG_CLOEXEC);
  bool told = false;
  while (got < 0 && (errno == EINTR || (errno == ECONNRESET && !std::exchange(told, true))))
    got = recvmsg(socket.get(), &message, flags | MSG_CMSG_CLOEXEC);
  if (got < 0) return ErrnoError("recvmsg");
  received.bytes.resize(static_cast<std::size_t>(got));
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS) {
      ucred sender{};
      memcpy(&sender, CMSG_DATA(header), sizeof sender);
      received.sender = sender.pid;
    }
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int fd = -1;
      memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.fds.emplace_back(fd);
    }
  }
  received.truncated =
      (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || received.fds.size() > kMaxMessageFds;
  return received;
}

}  // namespace cellrun::sys
