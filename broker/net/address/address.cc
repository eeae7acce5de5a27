// SPDX-License-Identifier: Apache-2.0
#include "broker/net/address/address.h"

#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace cellrun::net {
namespace {

constexpr std::size_t kIpv6Shortest = offsetof(sockaddr_in6, sin6_scope_id);  // SIN6_LEN_RFC2133
constexpr std::size_t kMappedAt = 12;

std::optional<Endpoint> Ipv4Endpoint(std::span<const char> bytes) {
  sockaddr_in socket_address{};
  if (bytes.size() < sizeof socket_address) return std::nullopt;
  memcpy(&socket_address, bytes.data(), sizeof socket_address);
  return Endpoint{.address = Ipv4(ntohl(socket_address.sin_addr.s_addr)),
                  .port = ntohs(socket_address.sin_port)};
}

std::optional<Endpoint> Ipv6Endpoint(std::span<const char> bytes) {
  sockaddr_in6 socket_address{};
  if (bytes.size() < kIpv6Shortest) return std::nullopt;
  memcpy(&socket_address, bytes.data(), std::min(bytes.size(), sizeof socket_address));
  Address address{.bytes = {}, .ipv6 = true};
  memcpy(address.bytes.data(), &socket_address.sin6_addr, address.bytes.size());
  return Endpoint{.address = Canonical(address),
                  .port = ntohs(socket_address.sin6_port),
                  .scope = socket_address.sin6_scope_id};
}

}  // namespace

std::optional<Endpoint> EndpointOf(std::span<const char> untrusted_sockaddr) {
  sa_family_t family = AF_UNSPEC;
  if (untrusted_sockaddr.size() < sizeof family) return std::nullopt;
  memcpy(&family, untrusted_sockaddr.data(), sizeof family);
  if (family == AF_INET) return Ipv4Endpoint(untrusted_sockaddr);
  if (family == AF_INET6) return Ipv6Endpoint(untrusted_sockaddr);
  return std::nullopt;
}

SocketAddress SocketAddressOf(const Endpoint& endpoint, bool as_ipv6) {
  SocketAddress result;
  const Address& address = endpoint.address;
  if (!address.ipv6 && !as_ipv6) {
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(endpoint.port);
    ipv4.sin_addr.s_addr = htonl(Ipv4Number(address));
    memcpy(&result.storage, &ipv4, sizeof ipv4);
    result.size = sizeof ipv4;
    return result;
  }
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_port = htons(endpoint.port);
  ipv6.sin6_scope_id = endpoint.scope;
  if (address.ipv6) {
    memcpy(&ipv6.sin6_addr, address.bytes.data(), address.bytes.size());
  } else {
    ipv6.sin6_addr.s6_addr[10] = ipv6.sin6_addr.s6_addr[11] = 0xFF;
    memcpy(&ipv6.sin6_addr.s6_addr[kMappedAt], address.bytes.data(), 4);
  }
  memcpy(&result.storage, &ipv6, sizeof ipv6);
  result.size = sizeof ipv6;
  return result;
}

}  // namespace cellrun::net
