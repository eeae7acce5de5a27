// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/connect_handler.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "broker/notify/remote_memory.h"
#include "lib/base/log.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/socket.h"
#include "lib/wire/control.h"

namespace cellrun::notify {
namespace {

constexpr std::size_t kMaxAddressBytes = 128;  // sizeof(sockaddr_storage): the kernel's limit
constexpr std::uint8_t kLoopbackNet = 127;

bool AsksForChannel(const seccomp_data& data) {
  return static_cast<int>(data.args[0]) == wire::kChannelFd &&
         data.args[1] == wire::kChannelMagic && static_cast<int>(data.args[2]) == 0;
}

struct Destination {
  bool stays_inside = false;  // cannot leave the cell whatever becomes of the bytes
  std::string address;
  std::uint16_t port = 0;
};

Destination ReadInternet(std::string_view bytes) {
  sockaddr_in address{};
  memcpy(&address, bytes.data(), std::min(bytes.size(), sizeof address));
  const std::uint32_t host = ntohl(address.sin_addr.s_addr);
  std::array<char, INET_ADDRSTRLEN> text{};
  inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
  const std::uint16_t port = ntohs(address.sin_port);
  // 0.0.0.0 means this host; port 0 is how libc asks for a route (a TCP connect to it fails).
  return {.stays_inside = host == INADDR_ANY || host >> 24 == kLoopbackNet || port == 0,
          .address = text.data(),
          .port = port};
}

Destination ReadInternet6(std::string_view bytes) {
  sockaddr_in6 address{};
  memcpy(&address, bytes.data(), std::min(bytes.size(), sizeof address));
  const in6_addr& host = address.sin6_addr;
  const bool mapped_loopback = IN6_IS_ADDR_V4MAPPED(&host) && host.s6_addr[12] == kLoopbackNet;
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(AF_INET6, &host, text.data(), text.size());
  const std::uint16_t port = ntohs(address.sin6_port);
  return {.stays_inside = IN6_IS_ADDR_LOOPBACK(&host) || IN6_IS_ADDR_UNSPECIFIED(&host) ||
                          mapped_loopback || port == 0,
          .address = text.data(),
          .port = port};
}

Destination ReadDestination(std::string_view bytes) {
  sa_family_t family = 0;
  memcpy(&family, bytes.data(), sizeof family);
  switch (family) {
    case AF_UNSPEC:  // dissolves an association
    case AF_UNIX:
    case AF_NETLINK:
      return {.stays_inside = true, .address = "", .port = 0};
    case AF_INET:
      return ReadInternet(bytes);
    case AF_INET6:
      return ReadInternet6(bytes);
    default:
      return {.stays_inside = false, .address = "family " + std::to_string(family), .port = 0};
  }
}

}  // namespace

void ConnectHandler::Handle(const seccomp_notif& notification, Lane& lane,
                            const policy::Profile& profile) const {
  const seccomp_data& data = notification.data;
  if (AsksForChannel(data)) return HandOverChannel(notification);
  const auto bytes = static_cast<int>(data.args[2]);
  if (bytes < static_cast<int>(sizeof(sa_family_t)) || bytes > static_cast<int>(kMaxAddressBytes)) {
    return listener_.Refuse(notification.id, EINVAL);
  }
  std::array<char, kMaxAddressBytes> buffer{};
  const std::span<char> address = std::span(buffer).first(static_cast<std::size_t>(bytes));
  RemoteMemory memory(listener_, notification, lane.memory());
  const Result<void> read = memory.Read(data.args[1], address);
  if (!read.ok()) {
    return listener_.Refuse(notification.id, read.error().code() == EPERM ? EACCES : EFAULT);
  }
  const Destination destination = ReadDestination({address.data(), address.size()});
  if (!destination.stays_inside) {
    return Refuse(notification, destination.address, destination.port, profile);
  }
  // CONTINUE-SITE(local-connect, class c): the cell's network namespace is empty and its mount tree
  // has no socket of the host, so whatever address the kernel reads now, it is the cell's own or
  // ENETUNREACH.
  (void)sys::SeccompContinue(listener_.fd(), notification.id);
}

void ConnectHandler::Refuse(const seccomp_notif& notification, const std::string& address,
                            std::uint16_t port, const policy::Profile& profile) const {
  ++tally_.denied;
  journal::Record record;
  record.time = std::chrono::system_clock::now();
  record.cell = facts_.cell_id;
  record.kind = journal::Kind::kConnect;
  record.pid = notification.pid;
  record.uid = facts_.inside_uid;
  record.user = facts_.user;
  record.to = address;
  record.port = port;
  record.verdict = policy::Action::kDeny;
  record.rule = {
      .name = "default", .layer = profile.network_default.layer, .at = profile.network_default.at};
  record.reason = "the cell has no network";
  record.result = "denied";
  repeats_.Note("connect " + address + " " + std::to_string(port), std::move(record));
  listener_.Refuse(notification.id, EACCES);
}

void ConnectHandler::HandOverChannel(const seccomp_notif& notification) const {
  const auto pid = static_cast<pid_t>(notification.pid);
  std::optional<exec::Ticket> ticket = exec_.tickets().TakeChannel(pid);
  // Without a ticket it is what it looks like: a descriptor that does not exist.
  if (!ticket.has_value()) return listener_.Refuse(notification.id, EBADF);
  Result<std::pair<UniqueFd, UniqueFd>> channel = sys::SocketPair(SOCK_SEQPACKET);
  if (!channel.ok()) {
    log::Warn("a waiting room gets no channel", {{"error", channel.error().ToString()}});
    return listener_.Refuse(notification.id, ENOMEM);
  }
  auto& [ours, theirs] = channel.value();
  const Result<int> sent = sys::SeccompAddFd(listener_.fd(), notification.id, theirs, true);
  if (!sent.ok()) {
    // ENOENT: a signal took the call back (no WAIT_KILLABLE_RECV), and it comes again. Killed: the
    // ticket is swept away.
    if (sent.error().code() == ENOENT) return exec_.tickets().Add(pid, std::move(*ticket));
    return listener_.Refuse(notification.id, sent.error().code());  // EMFILE
  }
  theirs.Reset();
  exec_.Serve(pid, std::move(ours), std::move(*ticket));
}

}  // namespace cellrun::notify
