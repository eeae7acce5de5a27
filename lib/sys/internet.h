// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

// Sockets of AF_INET and AF_INET6; CLOEXEC. Unix ones are in socket.h.
namespace cellrun::sys {

// `type` with SOCK_NONBLOCK where that is wanted.
Result<UniqueFd> InternetSocket(int family, int type);
Result<void> BindInternet(const UniqueFd& socket, const sockaddr* address, socklen_t size);
// EINPROGRESS is an error.
Result<void> ConnectInternet(const UniqueFd& socket, const sockaddr* address, socklen_t size);
// The error of a connect that was in progress; 0 for none. SO_ERROR.
Result<int> PendingError(const UniqueFd& socket);
// getsockname(2)
Result<sockaddr_storage> LocalAddress(const UniqueFd& socket);
// An option whose value is an int.
Result<void> SetOption(const UniqueFd& socket, int level, int name, int value);
// TCP_CONGESTION; of what a listener accepts too. Before it is connected: a control that paces
// would go on doing so.
Result<void> SetCongestionControl(const UniqueFd& socket, std::string_view name);

// Never waits and raises no SIGPIPE; how much was taken. EAGAIN is an error.
Result<std::size_t> SendBytes(const UniqueFd& socket, std::string_view bytes);
// Never waits; 0 at end of file (a stream). EAGAIN is an error.
Result<std::size_t> ReceiveBytes(const UniqueFd& socket, std::span<char> buffer);

// Datagrams, several with one call.
class DatagramBatch {
 public:
  DatagramBatch(std::size_t count, std::size_t datagram_bytes);

  struct Datagram {
    std::string_view bytes;  // valid until the next Receive
    const sockaddr* from = nullptr;
    socklen_t from_size = 0;
    bool truncated = false;  // it was longer than `datagram_bytes`
  };
  // What is there, at most `count`; never waits. 0 when there is nothing.
  Result<std::size_t> Receive(const UniqueFd& socket);
  [[nodiscard]] Datagram at(std::size_t index) const;
  // How many datagrams the socket has dropped so far because nobody took them, as of the last
  // Receive. Needs SO_RXQ_OVFL.
  [[nodiscard]] std::uint32_t dropped() const { return dropped_; }

 private:
  static constexpr std::size_t kControlBytes = 64;
  const std::size_t datagram_bytes_;
  std::vector<char> buffers_, controls_;
  std::vector<sockaddr_storage> senders_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> messages_;
  std::uint32_t dropped_ = 0;
};
// Never waits. EAGAIN is an error.
Result<void> SendDatagram(const UniqueFd& socket, std::string_view bytes, const sockaddr* to,
                          socklen_t to_size);

}  // namespace cellrun::sys
