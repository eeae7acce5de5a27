// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/connect_handler.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "broker/exec/task.h"
#include "broker/net/connections/egress.h"
#include "broker/notify/remote_memory.h"
#include "lib/base/log.h"
#include "lib/sys/process.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/socket.h"
#include "lib/wire/control.h"
#include "lib/wire/gateway.h"

namespace cellrun::notify {
namespace {

constexpr std::size_t kMaxAddressBytes = 128;  // sizeof(sockaddr_storage): the kernel's limit
constexpr std::uint8_t kLoopbackNet = 127;
constexpr std::uint16_t kDnsPort = 53;

bool AsksForChannel(const seccomp_data& data) {
  return static_cast<int>(data.args[0]) == wire::kChannelFd &&
         data.args[1] == wire::kChannelMagic && static_cast<int>(data.args[2]) == 0;
}

// What a sockaddr of the cell means.
struct Destination {
  bool stays_inside = false;  // cannot leave the cell whatever becomes of the bytes
  net::Endpoint endpoint;     // else
  std::string other;          // of another family: what it is called
};

bool IsText(const net::Address& address, const char* text) {
  return net::ParseAddress(text) == address;
}

// 0.0.0.0 and :: mean this host; port 0 is how libc asks for a route (a TCP connect to it fails).
// The cell's own address and its resolver are part of it.
bool StaysInside(const net::Endpoint& to, bool has_gateway) {
  const net::Address& address = to.address;
  if (to.port == 0) return true;
  if (!address.ipv6) {
    const std::uint32_t number = net::Ipv4Number(address);
    if (number == INADDR_ANY || number >> 24 == kLoopbackNet) return true;
    return has_gateway && (IsText(address, wire::kCellAddress) ||
                           (to.port == kDnsPort && IsText(address, wire::kGatewayAddress)));
  }
  return IsText(address, "::1") || IsText(address, "::") ||
         (has_gateway && IsText(address, wire::kCellAddress6));
}

Destination ReadDestination(std::span<const char> bytes, bool has_gateway) {
  sa_family_t family = 0;
  memcpy(&family, bytes.data(), sizeof family);
  Destination destination;
  switch (family) {
    case AF_UNSPEC:  // dissolves an association
    case AF_UNIX:
    case AF_NETLINK:
      destination.stays_inside = true;
      return destination;
    case AF_INET:
    case AF_INET6: {
      const std::optional<net::Endpoint> to = net::EndpointOf(bytes);
      // Too short: the kernel says so.
      destination.stays_inside = !to || StaysInside(*to, has_gateway);
      if (to) destination.endpoint = *to;
      return destination;
    }
    default:
      destination.other = "family " + std::to_string(family);
      return destination;
  }
}

std::string KeyOf(const journal::Record& record) {
  return "connect " + record.to + " " + std::to_string(record.port) + record.proto;
}

// The process that connected last, by the number of its first thread: most connect more than once.
// A process that has ended gives no descriptor, and while it lives the number is its own.
struct KnownProcess {
  pid_t tid = 0;
  UniqueFd pidfd;
};
thread_local KnownProcess known_process;

Result<UniqueFd> CopyDescriptor(pid_t tid, int number) {
  if (known_process.tid == tid) {
    Result<UniqueFd> copy = sys::PidfdGetfd(known_process.pidfd, number);
    if (copy.ok()) return copy;
  }
  known_process = {};
  const pid_t group = TRY(exec::ThreadGroup(tid));
  UniqueFd pidfd = TRY(sys::PidfdOpen(group));
  Result<UniqueFd> copy = sys::PidfdGetfd(pidfd, number);
  if (group == tid && copy.ok()) known_process = {.tid = tid, .pidfd = std::move(pidfd)};
  return copy;
}

// The program's socket, as far as it can be looked at.
struct ProgramSocket {
  UniqueFd copy;
  bool udp = false, blocking = false;
};
ProgramSocket SocketOf(const Listener& listener, const seccomp_notif& notification) {
  ProgramSocket found;
  Result<UniqueFd> copy = CopyDescriptor(static_cast<pid_t>(notification.pid),
                                         static_cast<int>(notification.data.args[0]));
  // Only while the id is valid is this number that process.
  if (!copy.ok() || !sys::SeccompIdValid(listener.fd(), notification.id)) return found;
  int type = 0;
  socklen_t length = sizeof type;
  if (getsockopt(copy->get(), SOL_SOCKET, SO_TYPE, &type, &length) != 0) return found;
  found.udp = type == SOCK_DGRAM;
  const int flags = fcntl(copy->get(), F_GETFL);
  found.blocking = flags >= 0 && (flags & O_NONBLOCK) == 0;
  found.copy = std::move(*copy);
  return found;
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
  const Destination destination = ReadDestination(address, facts_.egress != nullptr);
  if (!destination.other.empty())
    return Refuse(notification, RecordOf(notification, destination.other, 0, profile));
  if (!destination.stays_inside) return GoOut(notification, destination.endpoint, profile);
  // CONTINUE-SITE(local-connect, class c): whatever address the kernel reads now, it is the cell's
  // own, or leads into the gateway: there it ends at a listener of the broker, which judges what it
  // accepts by the address that the kernel has connected to, or nowhere. Without a gateway the
  // namespace is empty. The mount tree has no socket of the host.
  (void)sys::SeccompContinue(listener_.fd(), notification.id);
}

void ConnectHandler::GoOut(const seccomp_notif& notification, const net::Endpoint& to,
                           const policy::Profile& profile) const {
  if (facts_.egress == nullptr) {
    return Refuse(notification,
                  RecordOf(notification, net::FormatAddress(to.address), to.port, profile));
  }
  const auto tid = static_cast<pid_t>(notification.pid);
  ProgramSocket program = SocketOf(listener_, notification);
  net::Origin origin{.pid = tid, .exe = exec::ReadExecutablePath(tid).value_or("")};
  net::Target target =
      facts_.egress->Judge(to, program.udp ? net::Protocol::kUdp : net::Protocol::kTcp);
  if (target.verdict.action == policy::Action::kDeny) {
    journal::Record record = net::RecordOf(facts_.egress->cell(), origin, target);
    record.verdict = policy::Action::kDeny;
    if (program.udp &&
        facts_.egress->Judge(to, net::Protocol::kTcp).verdict.action != policy::Action::kDeny) {
      return RefuseOrdering(notification, std::move(record));
    }
    record.reason = net::RefusalOf(facts_.egress->cell(), target.verdict, target.destination);
    return Refuse(notification, std::move(record));
  }
  ++(target.verdict.action == policy::Action::kAsk ? tally_.asked : tally_.allowed);
  facts_.egress->Connect({.origin = std::move(origin),
                          .target = std::move(target),
                          .socket = std::move(program.copy),
                          .blocking = program.blocking},
                         [&listener = listener_, id = notification.id](int code) {
                           if (code != 0) return listener.Refuse(id, code);
                           // CONTINUE-SITE(judged-connect, class c): the broker listens on the
                           // judged address in the gateway. Whatever the kernel reads now ends
                           // there, at another of its listeners or nowhere; the verdict that counts
                           // is made when it is accepted, about the address that the kernel has
                           // connected to.
                           (void)sys::SeccompContinue(listener.fd(), id);
                         });
}

journal::Record ConnectHandler::RecordOf(const seccomp_notif& notification,
                                         const std::string& address, std::uint16_t port,
                                         const policy::Profile& profile) const {
  journal::Record record = journal::RecordNow(journal::Kind::kConnect, facts_.cell_id,
                                              notification.pid, facts_.inside_uid, facts_.user);
  record.to = address;
  record.port = port;
  record.verdict = policy::Action::kDeny;
  record.rule = {
      .name = "default", .layer = profile.network_default.layer, .at = profile.network_default.at};
  record.reason = "the cell has no network";
  return record;
}

void ConnectHandler::Refuse(const seccomp_notif& notification, journal::Record record) const {
  ++tally_.denied;
  record.result = "denied";
  const std::string key = KeyOf(record);
  repeats_.Note(key, std::move(record));
  listener_.Refuse(notification.id, EACCES);
}

// libc connects a datagram socket to each address of a name, to order them by their routes
// (RFC 6724), and sends nothing. Where TCP may go, its programs would read of a denial for each
// connection that they make.
void ConnectHandler::RefuseOrdering(const seccomp_notif& notification,
                                    journal::Record record) const {
  record.result = "denied";
  if (record.reason.empty()) record.reason = "TCP is let out to it; libc orders addresses so";
  const std::string key = KeyOf(record);
  repeats_.Note(key, std::move(record), Repeats::Told::kNo);
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
  const Result<int> sent = sys::SeccompReplyFd(listener_.fd(), notification.id, theirs);
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
