// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "lib/import/policy_reader.h"
#include "lib/policy/load.h"
#include "lib/policy/profile.h"
#include "lib/policy/source.h"

namespace cellrun::import {

struct ClawrdenRule {
  PolicyText command;
  policy::Action action = policy::Action::kDeny;
  std::vector<PolicyText> arguments;  // any of them, somewhere in the joined arguments
  std::string reason;
  std::chrono::milliseconds timeout{0};  // 0: the default
  policy::Position at;
};

// A Clawrden policy with the defaults of what is not said.
struct ClawrdenPolicy {
  policy::Action default_action = policy::Action::kDeny;
  std::chrono::milliseconds default_timeout{std::chrono::minutes(2)};
  std::vector<PolicyText> allowed_paths;
  bool default_paths = false;  // none were given: /app and /tmp
  std::vector<std::string> jails;
  std::vector<ClawrdenRule> rules;
};

policy::Checked<ClawrdenPolicy> ReadClawrdenPolicy(const policy::Source& source);

}  // namespace cellrun::import
