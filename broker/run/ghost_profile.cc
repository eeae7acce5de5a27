// SPDX-License-Identifier: Apache-2.0
#include "broker/run/ghost_profile.h"

namespace cellrun::run {

policy::Profile GhostProfile(const policy::Profile& parent, const policy::Ghost& rights) {
  policy::Profile profile = parent;
  std::erase_if(profile.command_rules, [](const policy::CommandRule& rule) {
    return rule.layer != policy::Layer::kFloor;
  });
  for (policy::CommandRule& rule : profile.command_rules) {
    rule.run = policy::Strategy::kInPlace;
    rule.ghost.reset();
  }
  if (profile.command_default.layer != policy::Layer::kFloor)
    profile.command_default.value = policy::Action::kAllow;
  profile.filesystem.home.value.clear();
  profile.filesystem.write.clear();
  for (const std::string& path : rights.write)
    profile.filesystem.write.push_back({.value = path, .at = {}, .layer = policy::Layer::kProfile});
  if (!rights.image.empty()) profile.filesystem.root.value = rights.image;
  profile.network_default.value = policy::Action::kDeny;
  profile.network_rules.clear();
  profile.publish.clear();
  profile.tools.clear();
  profile.secrets.clear();
  profile.tests.clear();
  return profile;
}

policy::Profile CheckerProfile(const policy::Profile& parent) {
  policy::Profile profile = GhostProfile(parent, {});
  profile.filesystem.root.value = "host";
  return profile;
}

}  // namespace cellrun::run
