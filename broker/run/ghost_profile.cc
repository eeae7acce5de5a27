// SPDX-License-Identifier: Apache-2.0
#include "broker/run/ghost_profile.h"

#include <utility>

#include "lib/policy/network_target.h"

namespace cellrun::run {
namespace {

using policy::Layer;

// Nothing that cannot be read is let out.
void AddDestination(const std::string& endpoint, const policy::RuleReference& rule,
                    std::vector<policy::NetworkRule>& rules) {
  const Result<policy::GhostDestination> reach = policy::ParseGhostDestination(endpoint);
  if (!reach.ok()) return;
  policy::NetworkRule added;
  added.name = rule.name;
  added.to = {reach->to};
  if (reach->target.ports) added.ports = {*reach->target.ports};
  added.udp = reach->udp;
  added.then = policy::Action::kAllow;
  added.at = rule.at;
  added.layer = Layer::kProfile;  // one of the floor would only make others stricter
  rules.push_back(std::move(added));
}

void SetNetwork(const GhostRights& rights, policy::Profile& profile) {
  profile.network_default = {
      .value = policy::Action::kDeny, .at = rights.rule.at, .layer = Layer::kProfile};
  profile.publish.clear();
  if (rights.named.network.empty()) return profile.network_rules.clear();
  std::erase_if(profile.network_rules, [](const policy::NetworkRule& rule) {
    return rule.layer != Layer::kFloor && rule.layer != Layer::kWorkspace;
  });
  for (const std::string& endpoint : rights.named.network)
    AddDestination(endpoint, rights.rule, profile.network_rules);
}

template <typename T>
void Take(const std::optional<T>& given, std::optional<T>& limit) {
  if (given) limit = given;
}

void SetLimits(const policy::Limits& given, policy::Limits& limits) {
  Take(given.memory_bytes, limits.memory_bytes);
  Take(given.processes, limits.processes);
  Take(given.cpus, limits.cpus);
  Take(given.files, limits.files);
  Take(given.time, limits.time);
  // What comes out of a ghost goes where its caller prints.
  limits.output_bytes = given.output_bytes;
}

}  // namespace

policy::Profile GhostProfile(const policy::Profile& parent, const GhostRights& rights) {
  policy::Profile profile = parent;
  std::erase_if(profile.command_rules,
                [](const policy::CommandRule& rule) { return rule.layer != Layer::kFloor; });
  for (policy::CommandRule& rule : profile.command_rules) {
    rule.run = policy::Strategy::kInPlace;
    rule.ghost.reset();
  }
  if (profile.command_default.layer != Layer::kFloor)
    profile.command_default.value = policy::Action::kAllow;
  profile.filesystem.home.value.clear();
  profile.filesystem.write.clear();
  for (const std::string& path : rights.named.write)
    profile.filesystem.write.push_back({.value = path, .at = {}, .layer = Layer::kProfile});
  if (!rights.named.image.empty()) profile.filesystem.root.value = rights.named.image;
  SetNetwork(rights, profile);
  SetLimits(rights.named.limits, profile.limits);
  profile.tools.clear();
  profile.secrets.clear();
  profile.tests.clear();
  return profile;
}

policy::Profile CheckerProfile(const policy::Profile& parent) {
  const policy::Ghost nothing;
  policy::Profile profile = GhostProfile(parent, {.named = nothing, .rule = {}});
  profile.filesystem.root.value = "host";
  return profile;
}

}  // namespace cellrun::run
