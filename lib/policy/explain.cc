// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "lib/policy/compiled_policy.h"

namespace cellrun::policy {
namespace {

bool SameRule(const RuleReference& a, const RuleReference& b) {
  return a.layer == b.layer && a.at == b.at && a.name == b.name;
}

std::string WhyNot(const CompiledRule& rule, const Link& link, const std::optional<Time>& now) {
  if (rule.IsPast(now)) return "expires: " + rule.source->expires + " is past";
  if (const std::optional<Condition> failed = rule.when.FirstFailing(link)) {
    return rule.when.Explain(*failed, link);
  }
  const bool blocked =
      link.program().anonymous &&
      (rule.role == CompiledRule::Role::kFinal || rule.role == CompiledRule::Role::kAnswer) &&
      rule.source->then != Action::kDeny && rule.when.anonymous() != true;
  return blocked ? "anonymous: the image is anonymous and the rule does not name that" : "";
}

}  // namespace

// Told for the link that was decisive: the others alone would have let the command run.
std::vector<Policy::Trial> CompiledPolicy::Explain(const ExecRequest& request) const {
  std::vector<Trial> trials;
  if (request.images.empty()) return trials;
  const Verdict verdict = Decide(request);
  const Link link{.request = request, .image = verdict.image};
  const std::optional<Time> now = Now();
  bool decided = false;
  for (const CompiledRule& rule : rules_) {
    const CommandRule& source = *rule.source;
    Trial trial;
    trial.rule = {.name = source.name, .layer = source.layer, .at = source.at};
    trial.then = source.then;
    trial.failed = WhyNot(rule, link, now);
    trial.matched = trial.failed.empty();
    trial.decided = trial.matched && !decided && SameRule(trial.rule, verdict.rule);
    decided = decided || trial.decided;
    trials.push_back(std::move(trial));
  }
  if (!decided) {
    trials.push_back({.rule = verdict.rule,
                      .then = verdict.action,
                      .matched = true,
                      .decided = true,
                      .failed = ""});
  }
  return trials;
}

}  // namespace cellrun::policy
