// SPDX-License-Identifier: Apache-2.0
#include "broker/net/names/names.h"

#include <algorithm>
#include <array>

#include "lib/base/check.h"

namespace cellrun::net {
namespace {

constexpr std::uint32_t kFirst = 0xC612'0100;       // 198.18.1.0
constexpr std::uint32_t kLast = 0xC613'FFFF;        // 198.19.255.255
constexpr std::uint32_t kHostNumber = 0xC612'0001;  // 198.18.0.1
constexpr std::string_view kHostName = "host";
constexpr std::uint32_t kRange = 0xC612'0000;
constexpr std::uint32_t kRangeMask = 0xFFFE'0000;
constexpr std::array<std::uint8_t, 12> kPrefix{0xFD, 0x63, 0x65, 0x6C, 0x6C, 0};

// The number that the last four bytes are; nothing for an address of other ranges.
std::optional<std::uint32_t> NumberOf(const Address& untrusted) {
  const Address address = Canonical(untrusted);
  if (!address.ipv6) return Ipv4Number(address);
  if (!std::equal(kPrefix.begin(), kPrefix.end(), address.bytes.begin())) return std::nullopt;
  Address last;
  std::copy_n(address.bytes.begin() + kPrefix.size(), 4, last.bytes.begin());
  return Ipv4Number(last);
}

}  // namespace

Names::Names(std::size_t limit) : limit_(limit) {
  CHECK(limit <= kLast - kFirst + 1);
}

Names::Addresses Names::AddressesOf(std::uint32_t number) {
  Addresses addresses{.ipv4 = Ipv4(number), .ipv6 = {.bytes = {}, .ipv6 = true}};
  std::copy(kPrefix.begin(), kPrefix.end(), addresses.ipv6.bytes.begin());
  std::copy_n(addresses.ipv4.bytes.begin(), 4, addresses.ipv6.bytes.begin() + kPrefix.size());
  return addresses;
}

std::optional<Names::Addresses> Names::Assign(std::string_view name) {
  if (name == kHostName) return AddressesOf(kHostNumber);
  const std::lock_guard lock(mutex_);
  const auto known = indices_.find(name);
  if (known != indices_.end()) return AddressesOf(kFirst + known->second);
  if (names_.size() >= limit_) return std::nullopt;
  const auto index = static_cast<std::uint32_t>(names_.size());
  names_.push_back(&indices_.emplace(name, index).first->first);
  return AddressesOf(kFirst + index);
}

std::optional<std::string> Names::NameOf(const Address& address) const {
  const std::optional<std::uint32_t> number = NumberOf(address);
  if (number == kHostNumber) return std::string(kHostName);
  if (!number || *number < kFirst) return std::nullopt;
  const std::lock_guard lock(mutex_);
  const std::size_t index = *number - kFirst;
  if (index >= names_.size()) return std::nullopt;
  return *names_[index];
}

std::optional<Names::Addresses> Names::Find(std::string_view name) const {
  if (name == kHostName) return AddressesOf(kHostNumber);
  const std::lock_guard lock(mutex_);
  const auto known = indices_.find(name);
  if (known == indices_.end()) return std::nullopt;
  return AddressesOf(kFirst + known->second);
}

bool Names::IsOurs(const Address& address) {
  const std::optional<std::uint32_t> number = NumberOf(address);
  return number && (*number & kRangeMask) == kRange;
}

std::size_t Names::size() const {
  const std::lock_guard lock(mutex_);
  return names_.size();
}

}  // namespace cellrun::net
