// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <span>

#include "lib/policy/address.h"

namespace cellrun::net {

using policy::Address;
using policy::Canonical;
using policy::FormatAddress;
using policy::Ipv4;
using policy::Ipv4Inside;
using policy::Ipv4Number;
using policy::ParseAddress;
using policy::Reach;
using policy::ReachName;
using policy::ReachOf;

// An address with a port; `scope` only where a link-local address needs it.
struct Endpoint {
  Address address;
  std::uint16_t port = 0;
  std::uint32_t scope = 0;
  auto operator<=>(const Endpoint&) const = default;
};

// From the bytes of a sockaddr as a program passed them, read as the kernel does: nothing for other
// families and for what is too short (connect(2) gives EINVAL then). Mapped addresses come out as
// IPv4.
std::optional<Endpoint> EndpointOf(std::span<const char> untrusted_sockaddr);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
// `as_ipv6`: an IPv4 address in its mapped form, for a socket of AF_INET6.
SocketAddress SocketAddressOf(const Endpoint& endpoint, bool as_ipv6 = false);

}  // namespace cellrun::net
