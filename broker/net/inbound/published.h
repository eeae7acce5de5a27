// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "broker/net/address/address.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/profile.h"

namespace cellrun::net {

// A port of a cell, and where the host has it.
struct PortMapping {
  std::uint16_t inner = 0;
  Endpoint outer;
  policy::Position at;  // where the profile says so
  bool moved = false;   // the host's port of the same number could not be had

  [[nodiscard]] std::string OuterText() const;  // "127.0.0.1:8080"
};

struct Published {
  PortMapping mapping;
  UniqueFd listener;  // listens already; non-blocking
};

// Listens for each, on the host's loopback where no address is written. Where the host's port is
// not written either, the cell's own number is taken, or any other one if that is in use or not for
// this user. EADDRINUSE, EACCES, EADDRNOTAVAIL: the context says which one; none is listened on
// then.
Result<std::vector<Published>> Publish(
    const std::vector<policy::Placed<policy::PublishedPort>>& ports);

}  // namespace cellrun::net
