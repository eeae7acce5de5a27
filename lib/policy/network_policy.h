// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/policy.h"
#include "lib/policy/profile.h"

namespace cellrun::policy {

enum class Protocol : std::uint8_t { kTcp, kUdp };

// An address as 16 bytes; IPv4 is ::ffff:a.b.c.d, so that both spellings are one address.
using Address = std::array<std::uint8_t, 16>;
// "192.0.2.1", "2001:db8::1", "[2001:db8::1]". Nothing for a name or a malformed address.
std::optional<Address> ParseAddress(std::string_view text);

// What a program wants to reach, as it named it. `host` is a name or an address; "host" is the
// host's loopback.
struct Destination {
  std::string host;
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
};
// "example.com:443", "[::1]:80", "192.0.2.1:53/udp". Nothing without a port.
std::optional<Destination> ParseDestination(std::string_view text);

// A profile's `network:` compiled: `rules` in order, the first match decides, else the default;
// floor and workspace rules only raise the verdict (as for commands).
//
//   example.com      exactly that name            192.0.2.1, 2001:db8::1   that address
//   *.example.com    every name below it          192.0.2.0/24             that network
//   .example.com     the name and all below it    host                     the host's loopback
//   *                everything                   @name                    a group's destinations
// each with ":PORT" behind it where no `ports` is given. An address rule never matches a name: what
// a name resolves to is judged when it has been resolved. Immutable, safe to share.
class NetworkPolicy {
 public:
  static Checked<NetworkPolicy> Compile(
      const Profile& profile,
      std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

  // Pure; `rewrite`, `strategy` and `image` of the verdict mean nothing here.
  [[nodiscard]] Verdict Decide(const Destination& destination) const;

 private:
  struct Target {
    enum class Kind : std::uint8_t { kEverything, kHost, kName, kBelow, kNameAndBelow, kNetwork };
    Kind kind = Kind::kName;
    std::string name;  // lower case
    Address network{};
    int prefix_bits = 0;
    std::optional<std::uint16_t> port;
  };
  struct Rule {
    std::vector<Target> targets;
    std::vector<std::pair<std::uint16_t, std::uint16_t>> ports;
    Protocol protocol = Protocol::kTcp;
    Action then = Action::kDeny;
    std::string reason;
    RuleReference reference;
  };

  NetworkPolicy() = default;
  static Result<Target> ParseTarget(std::string_view text);
  static Result<void> AddTargets(const Profile& profile, const std::string& text, int depth,
                                 Rule& rule);
  static bool Reaches(const Target& target, const std::string& name,
                      const std::optional<Address>& address);
  static bool Matches(const Rule& rule, const Destination& destination, const std::string& name,
                      const std::optional<Address>& address);
  [[nodiscard]] Verdict FromRule(const Rule& rule) const;

  std::vector<Rule> rules_;
  Verdict default_;
  AuditLevel audit_ = AuditLevel::kAll;
};

}  // namespace cellrun::policy
