// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/network_target.h"
#include "lib/policy/policy.h"
#include "lib/policy/profile.h"

namespace cellrun::policy {

enum class Protocol : std::uint8_t { kTcp, kUdp };

// What a program wants to reach, as it named it: a name, "host", "host.cell/NAME" or an address.
struct Destination {
  std::string host;
  std::uint16_t port = 0;
  Protocol protocol = Protocol::kTcp;
};
// "example.com:443", "[::1]:80", "192.0.2.1:53/udp". Nothing without a port.
std::optional<Destination> ParseDestination(std::string_view text);

// A profile's `network:` compiled: `rules` in order, the first match decides, else the default;
// floor and workspace rules only raise the verdict (as for commands). An address rule never matches
// a name: what a name resolves to is judged when it has been resolved. The built-in groups are
// empty here: what they stand for is read from the host when a cell starts. Immutable, safe to
// share.
class NetworkPolicy {
 public:
  static Checked<NetworkPolicy> Compile(
      const Profile& profile,
      std::chrono::system_clock::time_point now = std::chrono::system_clock::now());

  // Pure. Only action, rule, reason, message and audit of the verdict mean something here.
  [[nodiscard]] Verdict Decide(const Destination& destination) const;

 private:
  struct Rule {
    std::vector<NetworkTarget> targets;  // no groups
    std::vector<PortRange> ports;        // empty: any
    Protocol protocol = Protocol::kTcp;
    Action then = Action::kDeny;
    std::string reason;
    RuleReference reference;
  };

  NetworkPolicy() = default;
  [[nodiscard]] const Rule* FirstMatch(const Destination& destination, const NetworkTarget& target,
                                       const Rule** minimum) const;

  std::vector<Rule> rules_;
  RuleReference default_rule_;
  Action default_ = Action::kDeny;
  AuditLevel audit_ = AuditLevel::kAll;
};

}  // namespace cellrun::policy
