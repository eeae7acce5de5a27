// SPDX-License-Identifier: Apache-2.0
// A sockaddr is an endpoint or nothing; as a sockaddr again it is the same endpoint, and its IPv4
// and mapped forms are one destination.
#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "broker/net/address/address.h"
#include "broker/net/names/names.h"
#include "lib/base/check.h"

using namespace cellrun;

namespace {

net::Endpoint Again(const net::Endpoint& endpoint, bool as_ipv6) {
  const net::SocketAddress address = net::SocketAddressOf(endpoint, as_ipv6);
  const auto again = net::EndpointOf({reinterpret_cast<const char*>(address.get()), address.size});
  CHECK(again.has_value());
  return *again;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto endpoint = net::EndpointOf({reinterpret_cast<const char*>(data), size});
  if (!endpoint) return 0;
  const net::Address& address = endpoint->address;
  CHECK(net::Canonical(address) == address);
  const net::Endpoint plain = Again(*endpoint, false), mapped = Again(*endpoint, true);
  CHECK(plain.address == address && mapped.address == address);
  CHECK(plain.port == endpoint->port && mapped.port == endpoint->port);
  CHECK(net::ParseAddress(net::FormatAddress(address)) == address);
  const auto inside = net::Ipv4Inside(address);
  if (inside) CHECK(net::ReachOf(*inside) == net::ReachOf(address));
  CHECK(!net::Names().NameOf(address) || net::Names::IsOurs(address));
  return 0;
}
