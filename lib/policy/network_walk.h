// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "lib/policy/profile.h"

namespace cellrun::policy {

// The rule that decides and, if a floor or workspace rule is stricter, that one.
template <typename Rule>
struct Decision {
  const Rule* rule = nullptr;
  const Rule* minimum = nullptr;

  [[nodiscard]] const Rule* Stricter() const {
    if (minimum != nullptr && (rule == nullptr || minimum->then >= rule->then)) return minimum;
    return rule;
  }
};

// The first match of each kind of layer. Floor and workspace rules only narrow.
template <typename Rule, typename Matches>
Decision<Rule> Walk(const std::vector<Rule>& rules, const Matches& matches) {
  Decision<Rule> decision;
  bool floor_done = false, workspace_done = false;
  for (const Rule& rule : rules) {
    const bool narrows =
        rule.reference.layer == Layer::kFloor || rule.reference.layer == Layer::kWorkspace;
    bool& done = rule.reference.layer == Layer::kFloor ? floor_done : workspace_done;
    if ((narrows && done) || !matches(rule)) continue;
    if (!narrows) {
      decision.rule = &rule;
      return decision;
    }
    done = true;
    const Action least = decision.minimum ? decision.minimum->then : Action::kAllow;
    if (rule.then > least) decision.minimum = &rule;
    if (rule.then == Action::kDeny) return decision;
  }
  return decision;
}

}  // namespace cellrun::policy
