// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/internet.h"

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <cstring>

#include "lib/sys/returned.h"

namespace cellrun::sys {
Result<UniqueFd> InternetSocket(int family, int type) {
  const int fd = socket(family, type | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError("socket");
  return UniqueFd(fd);
}

Result<void> BindInternet(const UniqueFd& socket, const sockaddr* address, socklen_t size) {
  return Check(bind(socket.get(), address, size), "bind");
}

Result<void> ConnectInternet(const UniqueFd& socket, const sockaddr* address, socklen_t size) {
  return Check(connect(socket.get(), address, size), "connect");
}

Result<int> PendingError(const UniqueFd& socket) {
  int error = 0;
  socklen_t size = sizeof error;
  TRY(Check(getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size), "getsockopt(SO_ERROR)"));
  return error;
}

Result<sockaddr_storage> LocalAddress(const UniqueFd& socket) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  TRY(Check(getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size),
            "getsockname"));
  return address;
}

Result<void> SetOption(const UniqueFd& socket, int level, int name, int value) {
  return Check(setsockopt(socket.get(), level, name, &value, sizeof value), "setsockopt");
}
Result<void> SetCongestionControl(const UniqueFd& socket, std::string_view name) {
  return Check(setsockopt(socket.get(), IPPROTO_TCP, TCP_CONGESTION, name.data(),
                          static_cast<socklen_t>(name.size())),
               "setsockopt(TCP_CONGESTION)");
}

Result<std::size_t> SendBytes(const UniqueFd& socket, std::string_view bytes) {
  const ssize_t sent = send(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return ErrnoError("send");
  return static_cast<std::size_t>(sent);
}

Result<std::size_t> ReceiveBytes(const UniqueFd& socket, std::span<char> buffer) {
  const ssize_t received = recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  if (received < 0) return ErrnoError("recv");
  return static_cast<std::size_t>(received);
}

DatagramBatch::DatagramBatch(std::size_t count, std::size_t datagram_bytes)
    : datagram_bytes_(datagram_bytes),
      buffers_(count * datagram_bytes),
      controls_(count * kControlBytes),
      senders_(count),
      vectors_(count),
      messages_(count) {
  for (std::size_t i = 0; i < count; ++i) {
    vectors_[i] = {.iov_base = &buffers_[i * datagram_bytes], .iov_len = datagram_bytes};
    messages_[i].msg_hdr.msg_iov = &vectors_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
    messages_[i].msg_hdr.msg_name = &senders_[i];
    messages_[i].msg_hdr.msg_control = &controls_[i * kControlBytes];
  }
}

Result<std::size_t> DatagramBatch::Receive(const UniqueFd& socket) {
  for (mmsghdr& message : messages_) {
    message.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    message.msg_hdr.msg_controllen = kControlBytes;
  }
  const int count = recvmmsg(socket.get(), messages_.data(),
                             static_cast<unsigned>(messages_.size()), MSG_DONTWAIT, nullptr);
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return std::size_t{0};
  if (count < 0) return ErrnoError("recvmmsg");
  for (int i = 0; i < count; ++i) {
    msghdr& header = messages_[static_cast<std::size_t>(i)].msg_hdr;
    for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr;
         part = CMSG_NXTHDR(&header, part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SO_RXQ_OVFL) continue;
      memcpy(&dropped_, CMSG_DATA(part), sizeof dropped_);
    }
  }
  return static_cast<std::size_t>(count);
}

DatagramBatch::Datagram DatagramBatch::at(std::size_t index) const {
  const mmsghdr& message = messages_.at(index);
  return {.bytes = {&buffers_[index * datagram_bytes_], message.msg_len},
          .from = static_cast<const sockaddr*>(message.msg_hdr.msg_name),
          .from_size = message.msg_hdr.msg_namelen,
          .truncated = (message.msg_hdr.msg_flags & MSG_TRUNC) != 0};
}

Result<void> SendDatagram(const UniqueFd& socket, std::string_view bytes, const sockaddr* to,
                          socklen_t to_size) {
  const ssize_t sent =
      sendto(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL, to, to_size);
  return Check(sent, "sendto");
}

}  // namespace cellrun::sys
