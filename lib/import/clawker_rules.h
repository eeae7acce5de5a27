// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lib/import/policy_reader.h"
#include "lib/policy/network_target.h"
#include "lib/policy/profile.h"

namespace cellrun::import {

struct ClawkerPath {
  std::string path;
  policy::Action action = policy::Action::kAllow;
  std::vector<std::string> methods;
};

struct ClawkerRule {
  PolicyText destination;
  policy::NetworkTarget target;
  std::string protocol = "https";
  policy::PortRange ports{443, 443};
  policy::Action action = policy::Action::kAllow;
  std::vector<ClawkerPath> paths;
  std::string path_default;
  bool skips_verification = false;

  [[nodiscard]] bool NeedsInspection() const { return !paths.empty() || !path_default.empty(); }
};

struct ClawkerFirewall {
  std::vector<ClawkerRule> rules;       // those of add_domains last
  std::vector<std::string> other_keys;  // of the file, that have nothing to do with it
  bool disabled = false;
};

policy::Checked<ClawkerFirewall> ReadClawkerFirewall(const policy::Source& source);

}  // namespace cellrun::import
