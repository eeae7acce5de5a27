// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "broker/net/address/address.h"

namespace cellrun::net {

// The addresses that one cell's names have: 198.18.0.0/15 (RFC 2544) from 198.18.1.0 on, and the
// same numbers below fd63:656c:6c00::/96. 198.18.0.0/24 is left for the cell's own link and its
// resolver; `host` always has 198.18.0.1 there. A name keeps its addresses for the cell's life and
// no address is ever given to another name, so whoever holds one reaches what it asked for; when
// `limit` names have been given, there are no more. Names are lower case, without a last dot.
// Thread-safe.
class Names {
 public:
  static constexpr std::size_t kLimit = 8192;
  explicit Names(std::size_t limit = kLimit);

  struct Addresses {
    Address ipv4, ipv6;
  };
  // Nothing: full.
  std::optional<Addresses> Assign(std::string_view name);
  // The name that has this address; also for its mapped form.
  [[nodiscard]] std::optional<std::string> NameOf(const Address& address) const;
  // Whether the name has addresses already.
  [[nodiscard]] std::optional<Addresses> Find(std::string_view name) const;
  // Whether an address is in the ranges that names have, given or not.
  static bool IsOurs(const Address& address);
  [[nodiscard]] std::size_t size() const;

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const { return a == b; }
  };
  static Addresses AddressesOf(std::uint32_t number);

  const std::size_t limit_;
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::uint32_t, Hash, Equal> indices_;
  std::vector<const std::string*> names_;  // keys of the map: they stay where they are
};

}  // namespace cellrun::net
