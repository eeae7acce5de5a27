// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace cellrun::policy {
namespace {

struct Range {
  const char* block;
  Reach reach;
};

// The first that holds an address decides. A single metadata address outside of these ranges is in
// a range of its own.
constexpr std::array kRanges = {Range{"168.63.129.16/32", Reach::kMetadata},
                                Range{"192.0.0.192/32", Reach::kMetadata},
                                Range{"100.100.100.200/32", Reach::kMetadata},
                                Range{"0.0.0.0/8", Reach::kUnspecified},
                                Range{"10.0.0.0/8", Reach::kPrivate},
                                Range{"100.64.0.0/10", Reach::kPrivate},
                                Range{"127.0.0.0/8", Reach::kLoopback},
                                Range{"169.254.0.0/16", Reach::kLinkLocal},
                                Range{"172.16.0.0/12", Reach::kPrivate},
                                Range{"192.0.0.0/24", Reach::kReserved},
                                Range{"192.88.99.0/24", Reach::kReserved},
                                Range{"192.168.0.0/16", Reach::kPrivate},
                                Range{"198.18.0.0/15", Reach::kReserved},
                                Range{"224.0.0.0/4", Reach::kMulticast},
                                Range{"240.0.0.0/4", Reach::kReserved},
                                Range{"::/128", Reach::kUnspecified},
                                Range{"::1/128", Reach::kLoopback},
                                Range{"64:ff9b:1::/48", Reach::kPrivate},
                                Range{"100::/64", Reach::kReserved},
                                Range{"2001::/23", Reach::kReserved},
                                Range{"fc00::/7", Reach::kPrivate},
                                Range{"fe80::/10", Reach::kLinkLocal},
                                Range{"fec0::/10", Reach::kPrivate},
                                Range{"ff00::/8", Reach::kMulticast}};

// Known ones inside of ranges above: they are named apart in messages, not let out apart.
constexpr std::array kMetadata = {"169.254.169.254", "169.254.170.2", "169.254.169.253",
                                  "fd00:ec2::254", "fd20:ce::254"};

struct Known {
  AddressBlock block;
  Reach reach = Reach::kPublic;
};

Known Read(const Range& range) {
  const std::string_view text = range.block;
  const std::size_t slash = text.find('/');
  Known known{.block = {}, .reach = range.reach};
  known.block.first = ParseAddress(text.substr(0, slash)).value_or(Address());
  for (const char digit : text.substr(slash + 1)) {
    known.block.prefix = known.block.prefix * 10 + (digit - '0');
  }
  return known;
}

const std::array<Known, kRanges.size()>& Table() {
  static const std::array<Known, kRanges.size()> table = [] {
    std::array<Known, kRanges.size()> read;
    std::transform(kRanges.begin(), kRanges.end(), read.begin(), Read);
    return read;
  }();
  return table;
}

bool IsKnownMetadata(const Address& address) {
  static const std::array<Address, kMetadata.size()> table = [] {
    std::array<Address, kMetadata.size()> read;
    std::transform(kMetadata.begin(), kMetadata.end(), read.begin(),
                   [](const char* text) { return ParseAddress(text).value_or(Address()); });
    return read;
  }();
  return std::find(table.begin(), table.end(), address) != table.end();
}

const Known* Find(const Address& address) {
  const auto& table = Table();
  const auto* known = std::find_if(table.begin(), table.end(), [&](const Known& candidate) {
    return Contains(candidate.block, address);
  });
  return known == table.end() ? nullptr : known;
}

template <std::size_t kSize>
bool StartsWith(const Address& address, const std::array<std::uint8_t, kSize>& prefix) {
  return address.ipv6 && std::equal(prefix.begin(), prefix.end(), address.bytes.begin());
}

Address Ipv4At(const Address& address, std::size_t offset) {
  Address inside;
  std::copy_n(address.bytes.begin() + static_cast<std::ptrdiff_t>(offset), 4, inside.bytes.begin());
  return inside;
}

constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
constexpr std::array<std::uint8_t, 12> kCompatible{};
constexpr std::array<std::uint8_t, 12> kNat64{0, 0x64, 0xFF, 0x9B};
constexpr std::array<std::uint8_t, 2> k6to4{0x20, 0x02};
constexpr std::size_t kLast4 = 12;

// What ranges are compared with.
Address Judged(const Address& address) {
  return Ipv4Inside(address).value_or(address);
}

}  // namespace

std::optional<Address> ParseAddress(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  // A NUL inside would end the text early for inet_pton.
  if (text.size() >= terminated.size() || text.find('\0') != std::string_view::npos) {
    return std::nullopt;
  }
  std::copy(text.begin(), text.end(), terminated.begin());
  Address address;
  if (inet_pton(AF_INET, terminated.data(), address.bytes.data()) == 1) return address;
  address.ipv6 = inet_pton(AF_INET6, terminated.data(), address.bytes.data()) == 1;
  if (!address.ipv6) return std::nullopt;
  return address;
}

std::string FormatAddress(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(address.ipv6 ? AF_INET6 : AF_INET, address.bytes.data(), text.data(), text.size());
  return text.data();
}

Address Ipv4(std::uint32_t address) {
  Address result;
  const std::uint32_t network = htonl(address);
  memcpy(result.bytes.data(), &network, sizeof network);
  return result;
}

std::uint32_t Ipv4Number(const Address& address) {
  std::uint32_t network = 0;
  memcpy(&network, address.bytes.data(), sizeof network);
  return ntohl(network);
}

Address Canonical(const Address& address) {
  return StartsWith(address, kMapped) ? Ipv4At(address, kLast4) : address;
}

std::optional<Address> Ipv4Inside(const Address& address) {
  if (!address.ipv6) return address;
  if (StartsWith(address, kMapped) || StartsWith(address, kNat64)) return Ipv4At(address, kLast4);
  if (StartsWith(address, k6to4)) return Ipv4At(address, k6to4.size());
  // :: and ::1 are no IPv4 addresses.
  const Address last = Ipv4At(address, kLast4);
  if (StartsWith(address, kCompatible) && Ipv4Number(last) > 1) return last;
  return std::nullopt;
}

Reach ReachOf(const Address& address) {
  const Address judged = Judged(address);
  if (IsKnownMetadata(judged)) return Reach::kMetadata;
  const Known* known = Find(judged);
  return known != nullptr ? known->reach : Reach::kPublic;
}

AddressBlock BlockOfReach(const Address& address) {
  const Address judged = Judged(address);
  const Known* known = Find(judged);
  if (known != nullptr) return known->block;
  return {.first = judged, .prefix = judged.ipv6 ? 128 : 32};
}

bool Contains(const AddressBlock& block, const Address& address) {
  if (block.first.ipv6 != address.ipv6) return false;
  const int whole_bytes = block.prefix / 8, bits = block.prefix % 8;
  if (!std::equal(block.first.bytes.begin(), block.first.bytes.begin() + whole_bytes,
                  address.bytes.begin())) {
    return false;
  }
  if (bits == 0) return true;
  const auto index = static_cast<std::size_t>(whole_bytes);
  return ((block.first.bytes[index] ^ address.bytes[index]) >> (8 - bits)) == 0;
}

const char* ReachName(Reach reach) {
  constexpr std::array kNames = {"public",     "unspecified", "loopback",  "private",
                                 "link-local", "metadata",    "multicast", "reserved"};
  return kNames.at(static_cast<std::size_t>(reach));
}

}  // namespace cellrun::policy
