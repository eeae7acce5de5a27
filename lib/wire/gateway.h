// SPDX-License-Identifier: Apache-2.0
// How a cell and its gateway are joined: one veth pair, a link of two addresses in each family.
#pragma once

#include <cstdint>

namespace cellrun::wire {

// The last four addresses of the range from which names get theirs (198.18.0.0/15, which nobody
// routes): no destination of the world is hidden behind them.
inline constexpr char kHostAddress[] = "198.19.255.253";  // what the name `host` leads to
inline constexpr char kCellAddress[] = "198.19.255.254";
inline constexpr char kGatewayAddress[] = "198.19.255.255";  // the resolver answers there
inline constexpr int kLinkPrefix = 31;

inline constexpr char kCellAddress6[] = "fd63:656c:6c72:ffff::2";
inline constexpr char kGatewayAddress6[] = "fd63:656c:6c72:ffff::3";
inline constexpr int kLinkPrefix6 = 127;

// Sockets that the launcher's child makes in the gateway before anything runs: the resolver's two,
// and enough for the first destinations. The broker makes more when it needs them.
inline constexpr int kFirstSockets4 = 8;
inline constexpr int kFirstSockets6 = 4;

}  // namespace cellrun::wire
