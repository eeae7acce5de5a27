// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/network_change.h"

#include <algorithm>
#include <chrono>

#include "lib/base/text.h"
#include "lib/policy/network_match.h"
#include "lib/policy/yaml_text.h"

namespace cellrun::policy {
namespace {

std::string NameOf(const NetworkTarget& target) {
  switch (target.kind) {
    case NetworkTarget::Kind::kBlock: {
      // What an address carries is what rules judge it by.
      const Address address = AddressOf(target);
      return FormatAddress(Ipv4Inside(address).value_or(address));
    }
    case NetworkTarget::Kind::kCell:
      return "host.cell/" + target.name;
    case NetworkTarget::Kind::kHost:
      return "host";
    default:
      return target.name;
  }
}

NetworkRule RuleFor(const Destination& destination, const NetworkTarget& target, Action then) {
  NetworkRule rule;
  rule.to = {NameOf(target)};
  rule.ports = {{destination.port, destination.port}};
  rule.udp = destination.protocol == Protocol::kUdp;
  rule.then = then;
  return rule;
}

std::string Yaml(const NetworkRule& rule) {
  std::string text = "- {to: " + YamlScalar(rule.to.front()) + ", ports: [" +
                     std::to_string(rule.ports.front().first) + "]";
  if (rule.udp) text += ", proto: udp";
  return text + ", then: " + ActionName(rule.then) + "}";
}

std::string Where(const Profile& profile) {
  const std::string file = profile.documents.empty() ? "the profile" : profile.documents[0].file;
  return "# first under `network: rules:` of " + text::Escape(file) + "\n";
}

bool IsOfProfile(const NetworkRule& rule) {
  return rule.layer == Layer::kProfile || rule.layer == Layer::kInherited;
}

}  // namespace

std::string RuleLettingOut(const Destination& destination) {
  const Result<NetworkTarget> target = ReadHost(destination.host);
  return target.ok() ? Yaml(RuleFor(destination, *target, Action::kAllow)) : "";
}

std::string SmallestNetworkChange(const Profile& profile, const Destination& destination,
                                  const GroupMembers& built_in) {
  const Result<NetworkTarget> target = ReadHost(destination.host);
  if (!target.ok()) return "";
  const auto now = std::chrono::system_clock::now();
  const auto policy = NetworkPolicy::Compile(profile, now, built_in);
  if (!policy.ok()) return "";
  const Verdict before = policy.value().Decide(destination);
  const Action wanted = before.action == Action::kAllow ? Action::kDeny : Action::kAllow;
  const NetworkRule rule = RuleFor(destination, *target, wanted);
  Profile changed = profile;
  const auto place =
      std::find_if(changed.network_rules.begin(), changed.network_rules.end(), IsOfProfile);
  changed.network_rules.insert(place, rule);
  const auto after = NetworkPolicy::Compile(changed, now, built_in);
  if (after.ok() && after.value().Decide(destination).action == wanted) {
    return Where(profile) + Yaml(rule);
  }
  return std::string("no rule of the profile changes it: ") + LayerName(before.rule.layer) +
         " decides";
}

}  // namespace cellrun::policy
