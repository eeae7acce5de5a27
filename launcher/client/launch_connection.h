// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "launcher/client/error_form.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/socket.h"

namespace cellrun::launcher {

// A connection to this user's broker on launch.sock. The broker's runtime directory is verified,
// and so is who listens.
class LaunchConnection {
 public:
  // Connects; starts the broker if there is none. Many at once all succeed.
  static std::variant<LaunchConnection, ErrorForm> Open();

  [[nodiscard]] Result<void> Send(std::string_view message, std::span<const int> fds = {}) const;
  // Blocks for one message; `bytes` is empty when the broker closed the connection.
  [[nodiscard]] Result<sys::Message> Receive() const;
  // EAGAIN if there is none.
  [[nodiscard]] Result<sys::Message> ReceiveNow() const;
  // ETIMEDOUT after `limit`.
  [[nodiscard]] Result<sys::Message> ReceiveWithin(std::chrono::milliseconds limit) const;
  [[nodiscard]] const UniqueFd& socket() const { return socket_; }

 private:
  explicit LaunchConnection(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
};

}  // namespace cellrun::launcher
