// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/cell_socket.h"

#include <sys/socket.h>

#include <chrono>
#include <utility>

#include "broker/exec/task.h"
#include "lib/sys/socket.h"
#include "lib/wire/launch.h"
#include "lib/wire/strict_json.h"

namespace cellrun::rooms {
namespace {

constexpr std::size_t kMaxMessageBytes = 8 * 1024;
constexpr std::size_t kMaxReasonBytes = 1024;
constexpr std::size_t kMaxConnections = 8;
constexpr int kPerSecond = 50;
constexpr std::chrono::seconds kPatience{5};

}  // namespace

CellSocket::CellSocket(loop::Loop& loop, UniqueFd socket,
                       std::shared_ptr<exec::Proposals> proposals)
    : loop_(loop), socket_(std::move(socket)), proposals_(std::move(proposals)) {
  if (socket_.valid()) Listen();
}

void CellSocket::Listen() {
  acceptable_ = loop_.WatchReadable(socket_, [this] { OnConnection(); });
}

void CellSocket::OnConnection() {
  if (this_second_++ == 0) {
    second_ = loop_.After(std::chrono::seconds(1), [this] {
      this_second_ = 0;
      Listen();
    });
  }
  // More have to wait until the second is over.
  if (this_second_ > kPerSecond) return acceptable_.reset();
  Result<UniqueFd> socket = sys::Accept(socket_, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (!socket.ok() || connections_.size() >= kMaxConnections) return;
  const std::uint64_t number = next_++;
  Connection& connection = connections_[number];
  connection.socket = std::move(*socket);
  connection.readable =
      loop_.WatchReadable(connection.socket, [this, number] { OnMessage(number); });
  connection.deadline = loop_.After(kPatience, [this, number] { connections_.erase(number); });
}

void CellSocket::OnMessage(std::uint64_t number) {
  Connection& connection = connections_.at(number);
  const Result<sys::Message> message =
      sys::ReceiveMessage(connection.socket, kMaxMessageBytes, MSG_DONTWAIT);
  if (!message.ok() && message.error().code() == EAGAIN) return;
  if (message.ok() && !message->bytes.empty()) {
    const Result<void> taken = message->truncated || !message->fds.empty()
                                   ? Result<void>(Error(EMSGSIZE, "", "message: too long"))
                                   : Take(connection.socket, message->bytes);
    const nlohmann::json answer =
        taken.ok() ? nlohmann::json{{"ok", true}}
                   : nlohmann::json{{"ok", false}, {"error", taken.error().context()}};
    (void)sys::SendMessage(connection.socket, answer.dump(), {});  // it may have gone
  }
  connections_.erase(number);
}

Result<void> CellSocket::Take(const UniqueFd& socket, const std::string& message) {
  const nlohmann::json parsed = TRY(wire::ParseStrictJson(message));
  if (TRY(wire::MessageType(parsed)) != "propose") {
    return Error(EPERM, "", "type: a cell can only propose");
  }
  std::string reason;
  wire::ObjectReader reader(parsed, "propose");
  reader.Type("propose");
  reader.Text("reason", reason);
  TRY(reader.Finish());
  if (reason.size() > kMaxReasonBytes) return Error(E2BIG, "", "reason: too long");
  const ucred peer = TRY(sys::PeerCredentials(socket));
  proposals_->Add(peer.pid, TRY(exec::StartTime(peer.pid)), std::move(reason));
  return {};
}

}  // namespace cellrun::rooms
