// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cellrun::policy {

// An IP address. IPv4: the first four bytes, the others are 0.
struct Address {
  std::array<std::uint8_t, 16> bytes{};
  bool ipv6 = false;
  auto operator<=>(const Address&) const = default;
};

// What inet_pton(3) reads, so no octal, hexadecimal or short forms and no zone.
std::optional<Address> ParseAddress(std::string_view text);
std::string FormatAddress(const Address& address);
// From four bytes in host order.
Address Ipv4(std::uint32_t address);
// The four bytes of an IPv4 address in host order.
std::uint32_t Ipv4Number(const Address& address);

// ::ffff:192.0.2.1 is 192.0.2.1: the kernel sends the same packets. Others are what they are.
Address Canonical(const Address& address);
// The IPv4 address at which packets to this one end: itself, or what a mapped, NAT64
// (64:ff9b::/96), 6to4 or IPv4-compatible address carries. Nothing for other IPv6 addresses.
std::optional<Address> Ipv4Inside(const Address& address);

// Where an address leads, seen from the host.
enum class Reach : std::uint8_t {
  kPublic,
  kUnspecified,  // this host
  kLoopback,
  kPrivate,  // RFC 1918, shared, unique local, site-local, locally used NAT64
  kLinkLocal,
  kMetadata,  // what clouds answer instances on; partly outside of the other ranges
  kMulticast,
  kReserved,  // benchmarks (the names of a cell are there), protocol assignments, broadcast, Teredo
};

// Of the IPv4 address inside where there is one. Documentation ranges are public: nothing is there.
Reach ReachOf(const Address& address);
// "public", "loopback", "link-local", …
const char* ReachName(Reach reach);
// The widest block that a rule may name to let this address out: what ReachOf decided by, or the
// range around a single metadata address. Meaningless for public ones.
struct AddressBlock {
  Address first;
  int prefix = 0;  // bits
};
AddressBlock BlockOfReach(const Address& address);
bool Contains(const AddressBlock& block, const Address& address);

}  // namespace cellrun::policy
