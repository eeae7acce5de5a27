// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/network_policy.h"
#include "lib/policy/policy.h"
#include "lib/policy/request.h"

// Why a command is allowed or not, as `cellrun why` and GET /v1/records/SEQ/why say it: one form
// for what was recorded and for what would be judged now.
namespace cellrun::explain {

struct Explanation {
  policy::Action verdict = policy::Action::kDeny;
  std::optional<policy::Strategy> strategy{};  // of a command
  policy::RuleReference rule;                  // that decided
  std::string reason, message, suggest;
  std::vector<policy::Policy::Trial> trials;  // every rule in the order tried
  std::string change;                         // the smallest that would turn the verdict around
};

Explanation Explain(const policy::Policy& policy, const policy::ExecRequest& request,
                    const policy::Places& places, const policy::FileLookup& lookup);

// The same of a connection.
Explanation ExplainConnection(const policy::Profile& profile,
                              const policy::Destination& destination,
                              const policy::GroupMembers& built_in);

// {"verdict", "strategy", "rule", "reason", "message", "suggest", "trials": [{"rule", "then",
// "matched", "decided", "failed"}], "change"}; empty texts are left out.
nlohmann::json ToJson(const Explanation& explanation);

// {"name", "layer", "file", "line"}; what is not known is left out.
nlohmann::json ToJson(const policy::RuleReference& rule);

}  // namespace cellrun::explain
