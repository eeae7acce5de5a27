// SPDX-License-Identifier: Apache-2.0
#include "broker/net/wall/reach.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstring>

#include "bpf/egress_wall.h"
#include "lib/wire/gateway.h"

namespace cellrun::net {
namespace {

using policy::Address;
using policy::NetworkTarget;

constexpr std::uint32_t kNames4 = 0xC612'0000;  // 198.18.0.0/15, broker/net/names
constexpr int kNames4Prefix = 15;
constexpr char kNames6[] = "fd63:656c:6c00::";  // with the link of lib/wire/gateway.h
constexpr int kNames6Prefix = 40;
// Where packets to an IPv6 address end at the IPv4 address that it carries.
constexpr char kNat64[] = "64:ff9b::";
constexpr int kNat64Prefix = 96;
constexpr char kSixToFour[] = "2002::";
constexpr int kSixToFourPrefix = 16;

Reach6 Range6(const char* first, int prefix) {
  return {.first = *policy::ParseAddress(first), .prefix = prefix};
}

void AddBlock(const NetworkTarget& block, WallReach* reach) {
  const Address first{.bytes = block.address, .ipv6 = block.ipv6};
  if (block.ipv6) {
    reach->ranges6.push_back({.first = first, .prefix = block.prefix});
    // A mapped block is judged as what it is mapped to.
    const Address canonical = policy::Canonical(first);
    constexpr int kMappedBits = 96;
    if (!canonical.ipv6 && block.prefix >= kMappedBits) {
      reach->ranges4.push_back(
          {.first = policy::Ipv4Number(canonical), .prefix = block.prefix - kMappedBits});
    }
    return;
  }
  reach->ranges4.push_back({.first = policy::Ipv4Number(first), .prefix = block.prefix});
}

constexpr std::uint32_t Mask(int prefix) {
  constexpr int kBits = 32;
  if (prefix <= 0) return 0;
  return prefix >= kBits ? UINT32_MAX : ~(UINT32_MAX >> prefix);
}

}  // namespace

WallReach ReachOf(const policy::NetworkPolicy& policy, bool gateway) {
  WallReach reach;
  if (!gateway) return reach;
  const WallReach anywhere{.ranges4 = {Reach4()}, .ranges6 = {Range6("::", 0)}};
  const auto blocks = policy.OpenBlocks();
  if (!blocks) return anywhere;
  reach.ranges4.push_back({.first = kNames4, .prefix = kNames4Prefix});
  reach.ranges6.push_back(Range6(&kNames6[0], kNames6Prefix));
  for (const NetworkTarget& block : *blocks) AddBlock(block, &reach);
  if (reach.ranges4.size() > 1) {
    reach.ranges6.push_back(Range6(&kNat64[0], kNat64Prefix));
    reach.ranges6.push_back(Range6(&kSixToFour[0], kSixToFourPrefix));
  }
  if (reach.ranges4.size() > WALL_RANGES || reach.ranges6.size() > WALL_RANGES) return anywhere;
  return reach;
}

void Encode(const WallReach& reach, std::uint64_t cgroup, wall_reach* out) {
  *out = wall_reach{};
  out->cgroup = cgroup;
  out->netns = reach.network;
  out->gateway_netns = reach.gateway;
  out->host_netns = reach.host;
  out->building = reach.building ? 1 : 0;
  out->nested = reach.nested ? 1 : 0;
  for (const Reach4& range : reach.ranges4) {
    wall_range4& to = out->range4[out->ranges4++];
    to.mask = htonl(Mask(range.prefix));
    to.address = htonl(range.first) & to.mask;
  }
  for (const Reach6& range : reach.ranges6) {
    wall_range6& to = out->range6[out->ranges6++];
    std::memcpy(&to.address[0], range.first.bytes.data(), sizeof to.address);
    constexpr int kWord = 32;
    for (int word = 0; word < 4; ++word) {
      to.mask[word] = htonl(Mask(range.prefix - word * kWord));
      to.address[word] &= to.mask[word];
    }
  }
}

}  // namespace cellrun::net
