// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/listener_server.h"

#include <chrono>
#include <iterator>

#include "broker/cells/handover.h"
#include "broker/peer/peer.h"
#include "lib/base/log.h"
#include "lib/sys/file.h"
#include "lib/sys/socket.h"

namespace cellrun::cells {

ListenerServer::ListenerServer(loop::Loop& loop, Registry& registry, UniqueFd socket)
    : loop_(loop),
      registry_(registry),
      socket_(std::move(socket)),
      acceptable_(loop.WatchReadable(socket_, [this] { OnConnection(); })) {}

void ListenerServer::OnConnection() {
  Result<UniqueFd> accepted = sys::Accept(socket_, SOCK_NONBLOCK);
  if (!accepted.ok()) return;  // it has hung up again
  const Result<peer::Peer> peer = peer::CheckPeer(*accepted);
  if (!peer.ok() || connections_.size() >= kMaxConnections) return;
  const std::uint64_t id = next_id_++;
  Connection& connection = connections_[id];
  connection.socket = std::move(*accepted);
  connection.readable = loop_.WatchReadable(connection.socket, [this, id] { OnReadable(id); });
  connection.deadline = loop_.After(std::chrono::seconds(5), [this, id] { Drop(id); });
}

// The text has no length in front: it is whole when the sender closes its side, or as soon as it
// parses.
void ListenerServer::OnReadable(std::uint64_t id) {
  Connection& connection = connections_[id];
  Result<sys::Message> message =
      sys::ReceiveMessage(connection.socket, kMaxHandoverBytes + 1, MSG_DONTWAIT);
  if (!message.ok() && message.error().code() == EAGAIN) return;
  if (!message.ok() || message->truncated) return Drop(id);
  const bool at_end = message->bytes.empty();
  connection.text += message->bytes;
  std::move(message->fds.begin(), message->fds.end(), std::back_inserter(connection.fds));
  if (connection.text.size() > kMaxHandoverBytes || connection.fds.size() > sys::kMaxMessageFds)
    return Drop(id);
  if (!at_end && !connection.text.ends_with('}')) return;
  const Result<void> adopted = Adopt(connection);
  if (adopted.ok()) return Drop(id);
  if (!at_end) return;  // more may follow
  log::Warn("refused a seccomp listener", {{"error", adopted.error().ToString()}});
  Drop(id);
}

Result<void> ListenerServer::Adopt(Connection& connection) {
  std::vector<UniqueFd> copies;
  for (const UniqueFd& fd : connection.fds) copies.push_back(TRY(sys::Duplicate(fd)));
  Handover handover = TRY(DecodeHandover(connection.text, std::move(copies)));
  for (const auto& [id, cell] : registry_.cells()) {
    if (cell->Expects(handover.token))
      return cell->AdoptListener(handover.token, std::move(handover.listener));
  }
  return Error(EPERM, "", "no cell expects this listener");
}

void ListenerServer::Drop(std::uint64_t id) {
  connections_.erase(id);
}

}  // namespace cellrun::cells
