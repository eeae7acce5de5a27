// SPDX-License-Identifier: Apache-2.0
#include "lib/explain/explanation.h"

#include <nlohmann/json.hpp>

#include "lib/base/text.h"
#include "lib/policy/network_change.h"
#include "lib/policy/smallest_change.h"

namespace cellrun::explain {
namespace {

using nlohmann::json;

// JSON holds UTF-8 only.
std::string Shown(const std::string& text) {
  return text::IsUtf8(text) ? text : text::Escape(text);
}

void SetText(json& object, const char* name, const std::string& text) {
  if (!text.empty()) object[name] = Shown(text);
}

}  // namespace

Explanation Explain(const policy::Policy& policy, const policy::ExecRequest& request,
                    const policy::Places& places, const policy::FileLookup& lookup) {
  const policy::Verdict verdict = policy.Decide(request);
  return {.verdict = verdict.action,
          .strategy = verdict.strategy,
          .rule = verdict.rule,
          .reason = verdict.reason,
          .message = verdict.message,
          .suggest = verdict.suggest,
          .trials = policy.Explain(request),
          .change = policy::SmallestChange(policy, request, places, lookup)};
}

Explanation ExplainConnection(const policy::Profile& profile,
                              const policy::Destination& destination,
                              const policy::GroupMembers& built_in) {
  Explanation explanation;
  const auto policy =
      policy::NetworkPolicy::Compile(profile, std::chrono::system_clock::now(), built_in);
  if (!policy.ok()) {
    explanation.message = "the network rules do not compile: " + policy.problems()[0].ToString();
    return explanation;
  }
  const policy::Verdict verdict = policy.value().Decide(destination);
  explanation.verdict = verdict.action;
  explanation.rule = verdict.rule;
  explanation.reason = verdict.reason;
  explanation.message = verdict.message;
  explanation.trials = policy.value().Explain(destination);
  explanation.change = policy::SmallestNetworkChange(profile, destination, built_in);
  return explanation;
}

json ToJson(const policy::RuleReference& rule) {
  json object = {{"name", Shown(rule.name)}, {"layer", policy::LayerName(rule.layer)}};
  SetText(object, "file", rule.at.file);
  if (rule.at.line > 0) object["line"] = rule.at.line;
  return object;
}

json ToJson(const Explanation& explanation) {
  json object = {{"verdict", policy::ActionName(explanation.verdict)},
                 {"rule", ToJson(explanation.rule)}};
  if (explanation.strategy) object["strategy"] = policy::StrategyName(*explanation.strategy);
  SetText(object, "reason", explanation.reason);
  SetText(object, "message", explanation.message);
  SetText(object, "suggest", explanation.suggest);
  json& trials = object["trials"] = json::array();
  for (const policy::Policy::Trial& trial : explanation.trials) {
    json entry = {{"rule", ToJson(trial.rule)},
                  {"then", policy::ActionName(trial.then)},
                  {"matched", trial.matched},
                  {"decided", trial.decided}};
    SetText(entry, "failed", trial.failed);
    trials.push_back(std::move(entry));
  }
  SetText(object, "change", explanation.change);
  return object;
}

}  // namespace cellrun::explain
