// SPDX-License-Identifier: Apache-2.0
// How a cell and its gateway are joined: one veth pair, a link of two addresses in each family.
#pragma once

#include <cstdint>

namespace cellrun::wire {

// Of 198.18.0.0/24, the part of the range of names (broker/net/names) that no name gets, and that
// nobody routes: no destination of the world is hidden behind them.
inline constexpr char kHostAddress[] = "198.18.0.1";  // what the name `host` leads to
inline constexpr char kCellAddress[] = "198.18.0.2";
inline constexpr char kGatewayAddress[] = "198.18.0.3";  // the resolver answers there
inline constexpr int kLinkPrefix = 31;

inline constexpr char kCellAddress6[] = "fd63:656c:6c72:ffff::2";
inline constexpr char kGatewayAddress6[] = "fd63:656c:6c72:ffff::3";
inline constexpr int kLinkPrefix6 = 127;

// What TCP has that never leaves this machine: there is no congestion to control, and the host's
// choice may be one that paces what it sends (bbr). Every kernel has it, for every user.
inline constexpr char kCongestionControl[] = "reno";

// Sockets that the launcher's child makes in the gateway before anything runs: the resolver's two,
// and enough for the first destinations. The broker makes more when it needs them.
inline constexpr int kFirstSockets4 = 8;
inline constexpr int kFirstSockets6 = 4;

}  // namespace cellrun::wire
