// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/address.h"
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

// Members of the built-in groups, by name without '@': what this host is configured for.
using GroupMembers = std::map<std::string, std::vector<std::string>>;

// How a name is let out, on whichever port.
enum class Opening : std::uint8_t {
  kClosed,     // no rule and no person could let it out
  kByPattern,  // a wildcard or the default could: what stands before the pattern is free text
  kByName,     // a rule that says exactly this name could
};

// A profile's `network:` compiled: `rules` in order, the first match decides, else the default;
// floor and workspace rules only raise the verdict (as for commands). UDP leaves only where a rule
// says so, whatever the default is. `host` and `host.cell/…` are opened by rules that name them,
// and addresses that lead inwards (Reach) only by rules that name them or a part of their range,
// never by `*` or the default. Immutable, safe to share.
class NetworkPolicy {
 public:
  static Checked<NetworkPolicy> Compile(
      const Profile& profile,
      std::chrono::system_clock::time_point now = std::chrono::system_clock::now(),
      const GroupMembers& built_in = {});

  // Pure, as all of these are. Only action, rule, reason, message and audit of the verdict mean
  // something here. An address rule never matches a name.
  [[nodiscard]] Verdict Decide(const Destination& destination) const;
  // The second judgement of a name, on an address that it resolved to: allow where no address rule
  // objects. An ask is for a person unless the name was asked about already. `own`: it is an
  // address of this machine, which needs a rule that names it as a private one does.
  [[nodiscard]] Verdict DecideResolved(const Destination& named, const Address& address,
                                       bool own = false) const;
  // Whether Decide would let this name out on some port and protocol. Exact, floor included.
  [[nodiscard]] Opening MightAllow(std::string_view name) const;
  // For `why`: every rule in the order tried.
  [[nodiscard]] std::vector<Policy::Trial> Explain(const Destination& destination) const;
  // The blocks of addresses that a program could be let out to without a name, by a rule or a
  // person; nothing: any address. Coarse: ports and what a rule before it denies do not count.
  [[nodiscard]] std::optional<std::vector<NetworkTarget>> OpenBlocks() const;
  // Whether anything at all may leave: without it a cell needs no network.
  [[nodiscard]] bool LetsAnythingOut() const;
  // When the next rule expires: from then on a policy compiled anew decides differently.
  [[nodiscard]] std::optional<std::chrono::system_clock::time_point> NextExpiry() const {
    return next_expiry_;
  }

 private:
  struct Rule {
    std::vector<NetworkTarget> targets;  // no groups
    std::vector<PortRange> ports;        // empty: any
    Protocol protocol = Protocol::kTcp;
    Action then = Action::kDeny;
    std::string reason;
    RuleReference reference;
  };
  struct Wanted;

  NetworkPolicy() = default;
  void Add(const NetworkRule& source, const Profile& profile, const GroupMembers& built_in,
           std::vector<Problem>* problems);
  [[nodiscard]] Verdict DefaultFor(const Wanted& wanted) const;
  [[nodiscard]] Verdict Judge(const Wanted& wanted) const;
  [[nodiscard]] std::optional<Verdict> JudgeAddress(const Wanted& wanted, bool own) const;
  [[nodiscard]] Verdict RefuseReach(const Address& address) const;
  void RaiseByOuterForm(const Wanted& wanted, Verdict* verdict) const;
  [[nodiscard]] Opening OpeningOf(const NetworkTarget& target, Protocol protocol) const;
  [[nodiscard]] Verdict Finish(Verdict verdict) const;

  std::vector<Rule> rules_;
  RuleReference default_rule_;
  Action default_ = Action::kDeny;
  AuditLevel audit_ = AuditLevel::kAll;
  std::optional<std::chrono::system_clock::time_point> next_expiry_;
};

}  // namespace cellrun::policy
