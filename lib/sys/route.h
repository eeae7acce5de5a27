// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::sys {

// A conversation over rtnetlink with the network namespace in which it was opened, wherever its
// thread is later. Everything needs CAP_NET_ADMIN there.
//
// Not libnl: the launcher is one static program that starts for every command and sends eight
// messages of a fixed form. libnl would bring its caches and parsers (0.4 MB), and its sockets bind
// to a port that is derived from a pid, which the two namespaces share.
class RouteSocket {
 public:
  static Result<RouteSocket> Open();

  struct Veth {
    const char* name;
    int index;  // both ends get the same one
    const char* peer_name;
    const UniqueFd& peer_namespace;
  };
  // Up on this side, down on the other.
  Result<void> AddVeth(const Veth& veth) const;
  Result<void> RaiseLink(int index) const;
  // `address`: 4 or 16 bytes in network order. Without duplicate address detection.
  Result<void> AddAddress(int index, std::span<const std::uint8_t> address, int prefix) const;
  // What TCP has on a route, instead of what it has elsewhere.
  struct Tcp {
    const char* congestion_control;
    std::uint32_t first_segments;  // sent before anything has been acknowledged
  };
  Result<void> AddDefaultRoute(int index, std::span<const std::uint8_t> gateway,
                               const Tcp* tcp = nullptr) const;
  // Every address of the family is this namespace's own, but for those with a route of their own.
  Result<void> OwnEverything(int family) const;

 private:
  explicit RouteSocket(UniqueFd fd) noexcept : fd_(std::move(fd)) {}
  Result<void> Ask(std::string_view message) const;
  UniqueFd fd_;
};

}  // namespace cellrun::sys
