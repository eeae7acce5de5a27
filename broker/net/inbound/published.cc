// SPDX-License-Identifier: Apache-2.0
#include "broker/net/inbound/published.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "lib/sys/internet.h"
#include "lib/sys/socket.h"

namespace cellrun::net {
namespace {

constexpr int kBacklog = 128;

Result<UniqueFd> ListenOn(const Endpoint& endpoint) {
  UniqueFd made = TRY(
      sys::InternetSocket(endpoint.address.ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK));
  // Connections of an earlier cell on it may still be there; who listens now keeps it.
  TRY(sys::SetOption(made, SOL_SOCKET, SO_REUSEADDR, 1));
  if (endpoint.address.ipv6) TRY(sys::SetOption(made, IPPROTO_IPV6, IPV6_V6ONLY, 1));
  const SocketAddress address = SocketAddressOf(endpoint);
  TRY(sys::BindInternet(made, address.get(), address.size));
  TRY(sys::Listen(made, kBacklog));
  return made;
}

Result<Endpoint> Bound(const UniqueFd& listener) {
  const sockaddr_storage bound = TRY(sys::LocalAddress(listener));
  const auto endpoint = EndpointOf({reinterpret_cast<const char*>(&bound), sizeof bound});
  if (!endpoint) return Error(EPROTO, "getsockname");
  return *endpoint;
}

Result<Published> PublishOne(const policy::Placed<policy::PublishedPort>& port) {
  Endpoint outer{.address = Ipv4(INADDR_LOOPBACK), .port = port.value.host};
  if (!port.value.address.empty()) {
    const auto address = ParseAddress(port.value.address);
    if (!address) return Error(EINVAL, "", port.value.address + " is no address");
    outer.address = *address;
  }
  Result<UniqueFd> listener = ListenOn(outer);
  const bool another = !listener.ok() && !port.value.exact &&
                       (listener.error().code() == EADDRINUSE || listener.error().code() == EACCES);
  if (another) {
    outer.port = 0;
    listener = ListenOn(outer);
  }
  const PortMapping wanted{.inner = port.value.cell, .outer = outer, .at = port.at};
  if (!listener.ok()) return Error(listener.error().code(), "", wanted.OuterText());
  outer = TRY(Bound(*listener));
  return Published{
      .mapping = {.inner = port.value.cell, .outer = outer, .at = port.at, .moved = another},
      .listener = std::move(*listener)};
}

}  // namespace

std::string PortMapping::OuterText() const {
  const std::string address = FormatAddress(outer.address);
  return (outer.address.ipv6 ? "[" + address + "]" : address) + ":" + std::to_string(outer.port);
}

Result<std::vector<Published>> Publish(
    const std::vector<policy::Placed<policy::PublishedPort>>& ports) {
  std::vector<Published> published;
  for (const policy::Placed<policy::PublishedPort>& port : ports) {
    // A profile and the command line may well say the same.
    const bool again = !port.value.exact &&
                       std::any_of(published.begin(), published.end(), [&](const Published& other) {
                         return other.mapping.inner == port.value.cell;
                       });
    if (!again) published.push_back(TRY(PublishOne(port)));
  }
  return published;
}

}  // namespace cellrun::net
