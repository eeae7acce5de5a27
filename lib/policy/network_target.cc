// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/network_target.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace cellrun::policy {
namespace {

constexpr std::string_view kCellPrefix = "host.cell/";
constexpr std::string_view kCells = "host.cell", kBelowCells = ".host.cell";

Error Refused(const char* why) {
  return Error(EINVAL, why);
}

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

bool IsWordCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || IsDigit(c) || c == '-' || c == '_';
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return lower;
}

std::optional<int> ParseNumber(std::string_view text, int largest) {
  int number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || rest != end || number < 0 || number > largest) return std::nullopt;
  return text.starts_with('-') ? std::nullopt : std::optional(number);
}

bool IsLabel(std::string_view label) {
  constexpr std::size_t kLongest = 63;
  return !label.empty() && label.size() <= kLongest && !label.starts_with('-') &&
         !label.ends_with('-') && std::all_of(label.begin(), label.end(), IsWordCharacter);
}

// Whether inet_aton would read a name that ends in this label as an address.
bool LooksNumeric(std::string_view label) {
  return std::all_of(label.begin(), label.end(), IsDigit) || label.starts_with("0x") ||
         label.starts_with("0X");
}

bool ReadAddress(const std::string& text, NetworkTarget* destination) {
  if (inet_pton(AF_INET, text.c_str(), destination->address.data()) == 1) {
    destination->prefix = 32;
    return true;
  }
  destination->ipv6 = inet_pton(AF_INET6, text.c_str(), destination->address.data()) == 1;
  destination->prefix = 128;
  return destination->ipv6;
}

// "10.0.0.1/8" is a typing error more often than a block.
bool HasBitsBehindPrefix(const NetworkTarget& block) {
  const int bits = block.ipv6 ? 128 : 32;
  for (int bit = block.prefix; bit < bits; ++bit) {
    if ((block.address[static_cast<std::size_t>(bit / 8)] & (0x80 >> (bit % 8))) != 0) return true;
  }
  return false;
}

bool IsMappedIpv4(const NetworkTarget& block) {
  constexpr std::array<std::uint8_t, 12> kPrefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  return block.ipv6 && std::equal(kPrefix.begin(), kPrefix.end(), block.address.begin());
}

Result<NetworkTarget> ParseBlock(std::string_view text) {
  NetworkTarget block{.kind = NetworkTarget::Kind::kBlock, .name = Lower(text)};
  const std::size_t slash = text.find('/');
  if (!ReadAddress(std::string(text.substr(0, slash)), &block)) {
    return Refused("not an IP address");
  }
  if (IsMappedIpv4(block)) return Refused("write the IPv4 address instead of ::ffff:…");
  if (slash == std::string_view::npos) return block;
  const std::optional<int> prefix = ParseNumber(text.substr(slash + 1), block.prefix);
  if (!prefix) return Refused("the prefix length is not a number in range");
  block.prefix = *prefix;
  if (HasBitsBehindPrefix(block)) return Refused("the address has bits behind the prefix");
  return block;
}

Result<NetworkTarget> ParseName(NetworkTarget::Kind kind, std::string_view text) {
  if (!IsHostName(text)) return Refused("not a host name (other scripts: write the xn-- form)");
  // Rules for names never meet what these lead to.
  if (Lower(text) == kCells || Lower(text).ends_with(kBelowCells))
    return Refused("another cell is written host.cell/NAME");
  const std::size_t last = text.rfind('.') + 1;  // npos + 1 is 0
  if (LooksNumeric(text.substr(last))) return Refused("resolvers read this name as an address");
  return NetworkTarget{.kind = kind, .name = Lower(text)};
}

Result<NetworkTarget> ParseReference(NetworkTarget::Kind kind, std::string_view name) {
  if (!IsLabel(name)) return Refused("not a name of letters, digits, '-' and '_'");
  return NetworkTarget{.kind = kind, .name = std::string(name)};
}

}  // namespace

std::optional<std::string> CellOfName(std::string_view name) {
  const std::string lower = Lower(name);
  if (!lower.ends_with(kBelowCells)) return std::nullopt;
  std::string cell = lower.substr(0, lower.size() - kBelowCells.size());
  if (cell.find('.') != std::string::npos) return std::nullopt;
  return cell;
}

bool IsHostName(std::string_view text) {
  constexpr std::size_t kLongest = 253;
  if (text.empty() || text.size() > kLongest) return false;
  while (true) {
    const std::size_t dot = text.find('.');
    if (!IsLabel(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

Result<NetworkTarget> ParseTarget(std::string_view text) {
  if (text == "*") return NetworkTarget{.kind = NetworkTarget::Kind::kEverything};
  if (Lower(text) == "host") return NetworkTarget{.kind = NetworkTarget::Kind::kHost};
  if (text.starts_with(kCellPrefix)) {
    return ParseReference(NetworkTarget::Kind::kCell, Lower(text.substr(kCellPrefix.size())));
  }
  if (text.starts_with('@')) return ParseReference(NetworkTarget::Kind::kGroup, text.substr(1));
  if (text.starts_with("*.")) return ParseName(NetworkTarget::Kind::kBelow, text.substr(2));
  if (text.find(':') != std::string_view::npos || text.find('/') != std::string_view::npos) {
    return ParseBlock(text);
  }
  if (text.starts_with('.')) return ParseName(NetworkTarget::Kind::kWithBelow, text.substr(1));
  Result<NetworkTarget> address = ParseBlock(text);
  return address.ok() ? address : ParseName(NetworkTarget::Kind::kName, text);
}

Result<NetworkTarget> ParseEndpoint(std::string_view text) {
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos) return Refused("a bracket that does not close");
    NetworkTarget block = TRY(ParseBlock(text.substr(1, close - 1)));
    if (!block.ipv6) return Refused("brackets are for IPv6 addresses");
    const std::string_view rest = text.substr(close + 1);
    if (rest.empty()) return block;
    block.ports = rest.starts_with(':') ? ParsePorts(rest.substr(1)) : std::nullopt;
    if (!block.ports) return Refused("not a port after the bracket");
    return block;
  }
  const std::size_t colon = text.find(':');
  // Two colons: an IPv6 address without a port.
  if (colon == std::string_view::npos || colon != text.rfind(':')) return ParseTarget(text);
  const std::optional<PortRange> ports = ParsePorts(text.substr(colon + 1));
  if (!ports) return Refused("not a port after the colon");
  NetworkTarget destination = TRY(ParseTarget(text.substr(0, colon)));
  destination.ports = ports;
  return destination;
}

Result<GhostDestination> ParseGhostDestination(std::string_view text) {
  constexpr std::string_view kUdp = "/udp";
  const bool udp = text.ends_with(kUdp);
  if (udp) text.remove_suffix(kUdp.size());
  GhostDestination to{.target = TRY(ParseEndpoint(text)), .to = WithoutPorts(text), .udp = udp};
  const NetworkTarget::Kind kind = to.target.kind;
  if (!udp) return to;
  if (!to.target.ports) return Refused("/udp stands behind a port");
  if (kind == NetworkTarget::Kind::kCell) return Refused("what a cell publishes is TCP");
  return to;
}

std::string WithoutPorts(std::string_view endpoint) {
  if (endpoint.starts_with('[')) return std::string(endpoint.substr(1, endpoint.find(']') - 1));
  const std::size_t colon = endpoint.find(':');
  const bool has_port = colon != std::string_view::npos && colon == endpoint.rfind(':');
  return std::string(has_port ? endpoint.substr(0, colon) : endpoint);
}

std::optional<PortRange> ParsePorts(std::string_view text) {
  constexpr int kLargest = 65535;
  const std::size_t dash = text.find('-');
  const std::optional<int> first = ParseNumber(text.substr(0, dash), kLargest);
  const std::optional<int> last =
      dash == std::string_view::npos ? first : ParseNumber(text.substr(dash + 1), kLargest);
  if (!first || !last || *first < 1 || *last < *first) return std::nullopt;
  return PortRange(*first, *last);
}

}  // namespace cellrun::policy
