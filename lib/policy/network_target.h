// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "lib/base/result.h"

namespace cellrun::policy {

// An inclusive range.
using PortRange = std::pair<std::uint16_t, std::uint16_t>;

// Where a connection goes, as a profile writes it.
struct NetworkTarget {
  enum class Kind : std::uint8_t {
    kEverything,  // *
    kName,        // git.example.com
    kBelow,       // *.example.com: names below it
    kWithBelow,   // .example.com: it and names below it
    kBlock,       // an address or CIDR block
    kHost,        // host: the host's loopback
    kCell,        // host.cell/NAME: another cell
    kGroup,       // @NAME
  };
  Kind kind = Kind::kName;
  std::string name{};                      // lower case, without "*.", ".", "@", "host.cell/"
  std::array<std::uint8_t, 16> address{};  // of a block; IPv4: the first four
  bool ipv6 = false;
  int prefix = 0;                    // bits of a block
  std::optional<PortRange> ports{};  // only where a port may be written
};

// A destination without a port: `to` of a network rule. EINVAL; the operation says what is wrong.
// Names are ASCII host names; forms that resolvers read as addresses ("127.1", "0x7f000001") are
// refused.
Result<NetworkTarget> ParseTarget(std::string_view text);
// The same, perhaps with ":PORT" or ":FIRST-LAST" behind it; IPv6 addresses then in brackets.
Result<NetworkTarget> ParseEndpoint(std::string_view text);
// What a ghost may reach: an endpoint, over UDP with "/udp" behind its port. A group is as in
// `to`, over the ports that are written with it. No other cell over UDP: what a cell publishes is
// TCP.
struct GhostDestination {
  NetworkTarget target;
  std::string to;  // without the port, as `to` of a rule has it
  bool udp = false;
};
Result<GhostDestination> ParseGhostDestination(std::string_view text);
// The destination alone, as `to` of a rule has it: "[::1]:80" -> "::1".
std::string WithoutPorts(std::string_view endpoint);
// "443" or "8000-8010"; ports from 1 to 65535.
std::optional<PortRange> ParsePorts(std::string_view text);

// The other cell that programs reach by a name, NAME.host.cell.
std::optional<std::string> CellOfName(std::string_view name);

// "git.example.com": labels of letters, digits, '-' and '_', at most 63 each and 253 in all.
bool IsHostName(std::string_view text);

}  // namespace cellrun::policy
