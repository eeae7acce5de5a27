// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/network_policy.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "lib/policy/expiry.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

constexpr std::size_t kMaxProblems = 20;

std::vector<NetworkTarget> Single(NetworkTarget target) {
  std::vector<NetworkTarget> list;
  list.push_back(std::move(target));
  return list;
}

// What `to: TEXT` stands for; groups are opened, one level deep.
Result<std::vector<NetworkTarget>> Open(const Profile& profile, const std::string& text) {
  NetworkTarget target = TRY(ParseTarget(text));
  if (target.kind != NetworkTarget::Kind::kGroup) return Single(std::move(target));
  std::vector<NetworkTarget> members;
  const auto group = profile.network_groups.find(target.name);
  if (group == profile.network_groups.end()) {
    if (IsBuiltInGroup(target.name)) return members;
    return Error(EINVAL, "no group of that name");
  }
  for (const std::string& text_of_member : group->second) {
    NetworkTarget member = TRY(ParseEndpoint(text_of_member));
    if (member.kind == NetworkTarget::Kind::kGroup) return Error(EINVAL, "a group in a group");
    members.push_back(std::move(member));
  }
  return members;
}

bool InBlock(const NetworkTarget& block, const NetworkTarget& address) {
  if (block.ipv6 != address.ipv6) return false;
  const int whole_bytes = block.prefix / 8, bits = block.prefix % 8;
  if (!std::equal(block.address.begin(), block.address.begin() + whole_bytes,
                  address.address.begin())) {
    return false;
  }
  if (bits == 0) return true;
  const auto index = static_cast<std::size_t>(whole_bytes);
  return ((block.address[index] ^ address.address[index]) >> (8 - bits)) == 0;
}

bool IsBelow(std::string_view name, std::string_view domain) {
  return name.size() > domain.size() + 1 && name.ends_with(domain) &&
         name[name.size() - domain.size() - 1] == '.';
}

bool Reaches(const NetworkTarget& rule, const NetworkTarget& wanted) {
  using Kind = NetworkTarget::Kind;
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
      return wanted.kind == Kind::kBlock && InBlock(rule, wanted);
    case Kind::kHost:
      return wanted.kind == Kind::kHost;
    case Kind::kCell:
      return wanted.kind == Kind::kCell && rule.name == wanted.name;
    case Kind::kGroup:
      return false;
  }
  return false;
}

bool Contains(const PortRange& range, std::uint16_t port) {
  return port >= range.first && port <= range.second;
}

// One host, in the form that rules are compared in. ::ffff:192.0.2.1 is 192.0.2.1 and a name's
// last dot does not count; whatever is neither name nor address is an error.
Result<NetworkTarget> ReadHost(std::string_view host) {
  constexpr std::string_view kMapped = "::ffff:";
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.starts_with(kMapped) && host.find('.') != std::string_view::npos) {
    host.remove_prefix(kMapped.size());
  }
  NetworkTarget target = TRY(ParseTarget(host));
  const bool whole_address =
      target.kind == NetworkTarget::Kind::kBlock && host.find('/') == std::string_view::npos;
  if (target.kind == NetworkTarget::Kind::kName || target.kind == NetworkTarget::Kind::kHost ||
      target.kind == NetworkTarget::Kind::kCell || whole_address) {
    return target;
  }
  return Error(EINVAL, "not one host");
}

}  // namespace

std::optional<Destination> ParseDestination(std::string_view text) {
  Destination destination;
  constexpr std::string_view kUdp = "/udp", kTcp = "/tcp";
  if (text.ends_with(kUdp)) {
    destination.protocol = Protocol::kUdp;
    text.remove_suffix(kUdp.size());
  } else if (text.ends_with(kTcp)) {
    text.remove_suffix(kTcp.size());
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::optional<PortRange> ports = ParsePorts(text.substr(colon + 1));
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (!ports || ports->first != ports->second || host.empty()) return std::nullopt;
  destination.host = host;
  destination.port = ports->first;
  return destination;
}

Checked<NetworkPolicy> NetworkPolicy::Compile(const Profile& profile,
                                              std::chrono::system_clock::time_point now) {
  NetworkPolicy policy;
  std::vector<Problem> problems;
  for (const NetworkRule& source : profile.network_rules) {
    const std::optional<Time> expires = ParseExpiry(source.expires);
    if (!source.expires.empty() && !expires) {
      problems.push_back({source.at, "'expires: " + source.expires + "' is no date",
                          "YYYY-MM-DD or YYYY-MM-DDTHH:MM:SSZ", ""});
    }
    if (expires && *expires <= now) continue;
    Rule rule{.targets = {},
              .ports = source.ports,
              .protocol = source.udp ? Protocol::kUdp : Protocol::kTcp,
              .then = source.then,
              .reason = source.reason,
              .reference = {source.name, source.layer, source.at}};
    for (const std::string& text : source.to) {
      Result<std::vector<NetworkTarget>> opened = Open(profile, text);
      if (!opened.ok()) {
        problems.push_back({source.at, "'" + text + "': " + opened.error().operation(), "", ""});
        continue;
      }
      rule.targets.insert(rule.targets.end(), opened->begin(), opened->end());
    }
    policy.rules_.push_back(std::move(rule));
    if (problems.size() >= kMaxProblems) break;
  }
  if (!problems.empty()) {
    problems.resize(std::min(problems.size(), kMaxProblems));
    return problems;
  }
  policy.default_ = profile.network_default.value;
  policy.default_rule_ = {"default", profile.network_default.layer, profile.network_default.at};
  policy.audit_ = profile.audit_network.value;
  return policy;
}

const NetworkPolicy::Rule* NetworkPolicy::FirstMatch(const Destination& destination,
                                                     const NetworkTarget& target,
                                                     const Rule** minimum) const {
  bool floor_done = false, workspace_done = false;
  for (const Rule& rule : rules_) {
    const bool narrows =
        rule.reference.layer == Layer::kFloor || rule.reference.layer == Layer::kWorkspace;
    bool& done = rule.reference.layer == Layer::kFloor ? floor_done : workspace_done;
    if (narrows && done) continue;
    const bool port_fits =
        rule.ports.empty() || std::any_of(rule.ports.begin(), rule.ports.end(), [&](const auto& r) {
          return Contains(r, destination.port);
        });
    const bool matches =
        rule.protocol == destination.protocol && port_fits &&
        std::any_of(rule.targets.begin(), rule.targets.end(), [&](const auto& d) {
          return Reaches(d, target) && (!d.ports || Contains(*d.ports, destination.port));
        });
    if (!matches) continue;
    if (!narrows) return &rule;
    done = true;
    if (rule.then > (*minimum ? (*minimum)->then : Action::kAllow)) *minimum = &rule;
    if (rule.then == Action::kDeny) return nullptr;
  }
  return nullptr;
}

Verdict NetworkPolicy::Decide(const Destination& destination) const {
  Verdict verdict;
  try {
    const Result<NetworkTarget> target = ReadHost(destination.host);
    if (!target.ok()) {
      verdict.message = "neither a host name nor an address";
      return verdict;
    }
    const Rule* minimum = nullptr;
    const Rule* rule = FirstMatch(destination, *target, &minimum);
    verdict.action = rule ? rule->then : default_;
    verdict.rule = rule ? rule->reference : default_rule_;
    if (minimum && minimum->then >= verdict.action) rule = minimum;
    if (rule) {
      verdict.action = rule->then;
      verdict.rule = rule->reference;
      verdict.reason = rule->reason;
    }
    verdict.audit = audit_ == AuditLevel::kAll ||
                    (audit_ == AuditLevel::kDenied && verdict.action != Action::kAllow);
  } catch (...) {
    verdict = Verdict();
    verdict.message = "the destination could not be judged";
  }
  return verdict;
}

}  // namespace cellrun::policy
