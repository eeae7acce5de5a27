// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/network.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <array>
#include <utility>

#include "launcher/cell/steps.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/route.h"
#include "lib/wire/gateway.h"

// The gateway: a network namespace of the cell's user namespace in which every address is local. No
// task of the cell is ever in it; the broker listens there.
namespace cellrun::launcher {
namespace {

// Nothing is lost on the link, and the receiver's window is the limit.
constexpr sys::RouteSocket::Tcp kTcp{.congestion_control = &wire::kCongestionControl[0],
                                     .first_segments = 300};
constexpr int kLinkIndex = 100;  // beyond what a kernel puts into a new namespace by itself

template <std::size_t kBytes>
std::array<std::uint8_t, kBytes> Bytes(const char* text) {
  std::array<std::uint8_t, kBytes> bytes{};
  (void)inet_pton(kBytes == 4 ? AF_INET : AF_INET6, text, bytes.data());  // a constant of ours
  return bytes;
}

bool Misses6(const Result<void>& done) {
  // No IPv6 in this kernel, or switched off (net.ipv6.conf.all.disable_ipv6).
  return !done.ok() && (done.error().code() == EOPNOTSUPP || done.error().code() == EAFNOSUPPORT ||
                        done.error().code() == EACCES || done.error().code() == ENODEV ||
                        done.error().code() == EINVAL);
}

Result<void> MakeSockets(ChildState& child) {
  const auto make = [&](int family, int type, int count) -> Result<void> {
    for (int i = 0; i < count; ++i) {
      UniqueFd made(socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!made.valid() && family == AF_INET6 && errno == EAFNOSUPPORT) return {};
      if (!made.valid()) return ErrnoError("socket");
      child.gateway_sockets.push_back(std::move(made));
    }
    return {};
  };
  TRY(make(AF_INET, SOCK_DGRAM, 1));
  TRY(make(AF_INET, SOCK_STREAM, 1 + wire::kFirstSockets4));
  return make(AF_INET6, SOCK_STREAM, wire::kFirstSockets6);
}

Result<void> PrepareGateway(ChildState& child, const sys::RouteSocket& routes) {
  TRY(routes.OwnEverything(AF_INET));
  const Result<void> six = routes.OwnEverything(AF_INET6);
  if (!six.ok() && !Misses6(six)) return six;
  // Destinations below 1024 are listened for like any other, by a broker without capabilities.
  const Result<void> opened =
      sys::WriteExistingFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
  if (!opened.ok()) SendNote(child, Note::kLowPortsClosed, opened.error().code());
  TRY(MakeSockets(child));
  child.gateway = TRY(sys::OpenAt(AT_FDCWD, "/proc/self/ns/net", O_RDONLY));
  return {};
}

Result<void> Address(const sys::RouteSocket& cell, const sys::RouteSocket& gateway) {
  const auto cell4 = Bytes<4>(wire::kCellAddress), gateway4 = Bytes<4>(wire::kGatewayAddress);
  TRY(cell.AddAddress(kLinkIndex, cell4, wire::kLinkPrefix));
  TRY(gateway.AddAddress(kLinkIndex, gateway4, wire::kLinkPrefix));
  return cell.AddDefaultRoute(kLinkIndex, gateway4, &kTcp);
}
Result<void> Address6(const sys::RouteSocket& cell, const sys::RouteSocket& gateway) {
  const auto cell6 = Bytes<16>(wire::kCellAddress6), gateway6 = Bytes<16>(wire::kGatewayAddress6);
  TRY(cell.AddAddress(kLinkIndex, cell6, wire::kLinkPrefix6));
  TRY(gateway.AddAddress(kLinkIndex, gateway6, wire::kLinkPrefix6));
  return cell.AddDefaultRoute(kLinkIndex, gateway6, &kTcp);
}

}  // namespace

// The broker binds them to 127.0.0.1:53, when the second wall is open, and says of every name that
// it does not exist: without an answer libc calls it temporary, and programs try again.
Result<void> OpenResolver(ChildState& child) {
  for (const int type : {SOCK_DGRAM, SOCK_STREAM}) {
    UniqueFd made(socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made.valid()) return ErrnoError("socket");
    child.resolver_sockets.push_back(std::move(made));
  }
  return {};
}

// The child's first namespace becomes the gateway, and the cell gets one of its own: nothing has to
// come back to the first one.
Result<void> JoinGateway(ChildState& child) {
  if (!child.plan.gateway) return {};
  child.resolver_sockets.clear();  // they are in what becomes the gateway, which has one of its own
  const sys::RouteSocket gateway = TRY(sys::RouteSocket::Open());
  TRY(PrepareGateway(child, gateway));
  TRY(sys::Unshare(CLONE_NEWNET));
  TRY(sys::RaiseLoopback());
  const sys::RouteSocket cell = TRY(sys::RouteSocket::Open());
  TRY(cell.AddVeth({.name = "eth0",
                    .index = kLinkIndex,
                    .peer_name = "cell0",
                    .peer_namespace = child.gateway}));
  TRY(gateway.RaiseLink(kLinkIndex));
  TRY(Address(cell, gateway));
  const Result<void> six = Address6(cell, gateway);
  if (!six.ok() && !Misses6(six)) return six;
  return {};
}

}  // namespace cellrun::launcher
