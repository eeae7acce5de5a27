// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "lib/policy/network_policy.h"

struct wall_reach;  // bpf/egress_wall.h

namespace cellrun::net {

// What the sockets of a cgroup may reach beside their own loopback. Coarser than the judgement of a
// connection: addresses only. Where the rules have more ranges than there is room for, any address.
struct Reach4 {
  std::uint32_t first = 0;  // host order
  int prefix = 0;           // bits
};
struct Reach6 {
  policy::Address first;
  int prefix = 0;
};
struct WallReach {
  std::uint64_t network = 0;  // cookie of the cell's network namespace
  std::uint64_t gateway = 0;  // of its gateway's; 0 for none
  std::uint64_t host = 0;     // of the broker's
  bool building = false;      // sockets may be made before there is a network
  bool nested = false;        // the cell makes namespaces of its own; they get their loopback
  std::vector<Reach4> ranges4;
  std::vector<Reach6> ranges6;
};

// The ranges of a cell with a gateway: those that names are given addresses of, and what rules say
// in numbers; without `gateway` none at all. Cookies and `nested` are left to the caller.
WallReach ReachOf(const policy::NetworkPolicy& policy, bool gateway);

// As the programs read it. `cgroup`: the id that refusals carry.
void Encode(const WallReach& reach, std::uint64_t cgroup, wall_reach* out);

}  // namespace cellrun::net
