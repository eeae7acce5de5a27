// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/launch_connection.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "launcher/client/launch_broker.h"
#include "lib/wire/launch.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

// Asks for the length first: a buffer for the longest message costs more to clear than the call.
Result<sys::Message> ReceiveSized(const UniqueFd& socket, int flags) {
  char byte = 0;
  ssize_t bytes = 0;
  do {
    bytes = recv(socket.get(), &byte, 1, flags | MSG_PEEK | MSG_TRUNC);
    // ECONNRESET, told once: the broker closed without having read something of ours. What it said
    // before is still there.
  } while (bytes < 0 && (errno == EINTR || errno == ECONNRESET));
  if (bytes < 0) return ErrnoError("recv");
  const std::size_t limit = std::min(static_cast<std::size_t>(bytes), wire::kMaxLaunchBytes);
  return sys::ReceiveMessage(socket, std::max<std::size_t>(limit, 1), flags);
}

}  // namespace

std::variant<LaunchConnection, ErrorForm> LaunchConnection::Open() {
  const Result<std::string> runtime = wire::RuntimeDirectory();
  if (!runtime.ok()) {
    return ErrorForm{
        "the runtime directory cannot be used",
        runtime.error().context().empty() ? runtime.error().ToString() : runtime.error().context(),
        "remove it, or set CELLRUN_RUNTIME_DIR to a directory of yours"};
  }
  Result<UniqueFd> socket = ConnectOrStart(*runtime, *runtime + "/launch.sock");
  if (!socket.ok()) return ErrorForm{"no broker", socket.error().ToString(), "cellrun doctor"};
  return LaunchConnection(std::move(socket).value());
}

Result<void> LaunchConnection::Send(std::string_view message, std::span<const int> fds) const {
  if (message.size() > wire::kMaxLaunchBytes) return Error(E2BIG, "launch message");
  return sys::SendMessage(socket_, message, fds);
}
Result<sys::Message> LaunchConnection::Receive() const {
  return ReceiveSized(socket_, 0);
}
Result<sys::Message> LaunchConnection::ReceiveWithin(std::chrono::milliseconds limit) const {
  pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
  const int ready = poll(&wait, 1, static_cast<int>(limit.count()));
  if (ready < 0) return ErrnoError("poll");
  if (ready == 0) return Error(ETIMEDOUT, "poll");
  return ReceiveNow();
}
Result<sys::Message> LaunchConnection::ReceiveNow() const {
  return ReceiveSized(socket_, MSG_DONTWAIT);
}

}  // namespace cellrun::launcher
