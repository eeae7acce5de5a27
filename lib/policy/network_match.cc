// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/network_match.h"

#include <algorithm>
#include <cerrno>

namespace cellrun::policy {
namespace {

using Kind = NetworkTarget::Kind;

bool IsBelow(std::string_view name, std::string_view domain) {
  return name.size() > domain.size() + 1 && name.ends_with(domain) &&
         name[name.size() - domain.size() - 1] == '.';
}

AddressBlock BlockOf(const NetworkTarget& block) {
  return {.first = AddressOf(block), .prefix = block.prefix};
}

}  // namespace

Result<NetworkTarget> ReadHost(std::string_view host) {
  if (host.ends_with('.')) host.remove_suffix(1);
  if (const auto address = ParseAddress(host)) return TargetOf(Canonical(*address));
  const auto cell = CellOfName(host);
  NetworkTarget target = TRY(ParseTarget(cell ? "host.cell/" + *cell : std::string(host)));
  if (target.kind == Kind::kName || target.kind == Kind::kHost || target.kind == Kind::kCell) {
    return target;
  }
  return Error(EINVAL, "not one host");
}

bool Reaches(const NetworkTarget& rule, const NetworkTarget& wanted) {
  const bool is_name = wanted.kind == Kind::kName;
  switch (rule.kind) {
    case Kind::kEverything:
      return true;
    case Kind::kName:
      return is_name && rule.name == wanted.name;
    case Kind::kBelow:
      return is_name && IsBelow(wanted.name, rule.name);
    case Kind::kWithBelow:
      return is_name && (rule.name == wanted.name || IsBelow(wanted.name, rule.name));
    case Kind::kBlock:
      return wanted.kind == Kind::kBlock && Contains(BlockOf(rule), AddressOf(wanted));
    case Kind::kHost:
      return wanted.kind == Kind::kHost;
    case Kind::kCell:
      return wanted.kind == Kind::kCell && rule.name == wanted.name;
    case Kind::kGroup:
      return false;
  }
  return false;
}

Address AddressOf(const NetworkTarget& block) {
  return {.bytes = block.address, .ipv6 = block.ipv6};
}

NetworkTarget TargetOf(const Address& address) {
  return {.kind = Kind::kBlock,
          .name = FormatAddress(address),
          .address = address.bytes,
          .ipv6 = address.ipv6,
          .prefix = address.ipv6 ? 128 : 32};
}

bool LiesWithin(const NetworkTarget& block, const AddressBlock& range) {
  return block.kind == Kind::kBlock && block.prefix >= range.prefix &&
         Contains(range, AddressOf(block));
}

bool Contains(const PortRange& range, std::uint16_t port) {
  return port >= range.first && port <= range.second;
}

bool PortFits(const std::vector<PortRange>& ranges, std::uint16_t port) {
  return ranges.empty() || std::any_of(ranges.begin(), ranges.end(), [&](const PortRange& range) {
           return Contains(range, port);
         });
}

}  // namespace cellrun::policy
