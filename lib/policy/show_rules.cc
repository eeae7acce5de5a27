// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/show_rules.h"

#include <nlohmann/json.hpp>

#include "lib/base/result.h"
#include "lib/policy/units.h"

namespace cellrun::policy {
namespace {

using Json = nlohmann::ordered_json;

void Text(Json* map, const char* key, const std::string& text) {
  if (!text.empty()) (*map)[key] = text;
}
void Texts(Json* map, const char* key, const std::vector<std::string>& texts) {
  if (!texts.empty()) (*map)[key] = texts;
}
void Fact(Json* map, const char* key, const std::optional<bool>& fact) {
  if (fact) (*map)[key] = *fact;
}

Json WhenValue(const When& when) {
  Json value = Json::object();
  Texts(&value, "exe", when.exe);
  for (const std::string& hash : when.hash) value["hash"].push_back("sha256:" + hash);
  Texts(&value, "script", when.script);
  Texts(&value, "interpreter", when.interpreter);
  if (when.args) value["args"] = *when.args;
  Texts(&value, "args-any", when.args_any);
  Texts(&value, "args-none", when.args_none);
  Texts(&value, "cwd", when.cwd);
  Texts(&value, "parent", when.parent);
  Texts(&value, "user", when.user);
  Fact(&value, "tty", when.tty);
  for (const EnvironmentCondition& condition : when.env) {
    value["env"][condition.name] = condition.glob ? Json(*condition.glob) : Json();
  }
  Fact(&value, "writable", when.writable);
  Fact(&value, "anonymous", when.anonymous);
  return value;
}

Json RewriteValue(const Rewrite& rewrite) {
  Json value;
  Texts(&value, "args-prepend", rewrite.args_prepend);
  Texts(&value, "args-append", rewrite.args_append);
  Texts(&value, "args-remove", rewrite.args_remove);
  for (const auto& [name, text] : rewrite.env_set) value["env-set"][name] = text;
  Texts(&value, "env-drop", rewrite.env_drop);
  return value;
}

void AddGhost(Json* map, const Ghost& ghost) {
  Text(map, "image", ghost.image);
  Texts(map, "network", ghost.network);
  Texts(map, "secrets", ghost.secrets);
  Texts(map, "write", ghost.write);
  const Json limits = LimitsValue(ghost.limits);
  if (!limits.empty()) (*map)["limits"] = limits;
}

}  // namespace

Json LimitsValue(const Limits& limits) {
  Json shown = Json::object();
  if (limits.memory_bytes) shown["memory"] = FormatSize(limits.memory_bytes->value);
  if (limits.processes) shown["processes"] = limits.processes->value;
  if (limits.cpus) shown["cpus"] = limits.cpus->value;
  if (limits.files) shown["files"] = limits.files->value;
  if (limits.time) shown["time"] = FormatDuration(limits.time->value);
  if (limits.output_bytes) shown["output"] = FormatSize(limits.output_bytes->value);
  return shown;
}

Json RuleValue(const CommandRule& rule) {
  Json value;
  Text(&value, "name", rule.name);
  value["when"] = WhenValue(rule.when);
  value["then"] = ActionName(rule.then);
  Text(&value, "reason", rule.reason);
  Text(&value, "message", rule.message);
  Text(&value, "suggest", rule.suggest);
  if (rule.error != 0) value["errno"] = ErrnoName(rule.error);
  if (rule.timeout) value["timeout"] = FormatDuration(*rule.timeout);
  if (rule.approvers > 1) value["approvers"] = rule.approvers;
  if (rule.run != Strategy::kInPlace) value["run"] = StrategyName(rule.run);
  if (rule.ghost) {
    value["ghost"] = Json::object();
    AddGhost(&value["ghost"], *rule.ghost);
  }
  if (!rule.rewrite.empty()) value["rewrite"] = RewriteValue(rule.rewrite);
  Text(&value, "check", rule.check);
  if (rule.audit_sync) value["audit"] = "sync";
  Text(&value, "expires", rule.expires);
  return value;
}

Json RuleValue(const NetworkRule& rule) {
  Json value;
  Text(&value, "name", rule.name);
  value["to"] = rule.to;
  for (const auto& [first, last] : rule.ports) {
    if (first == last) {
      value["ports"].push_back(first);
    } else {
      value["ports"].push_back(std::to_string(first) + "-" + std::to_string(last));
    }
  }
  if (rule.udp) value["proto"] = "udp";
  value["then"] = ActionName(rule.then);
  Text(&value, "reason", rule.reason);
  Text(&value, "expires", rule.expires);
  return value;
}

Json RuleValue(const SyscallRule& rule) {
  return {{"name", rule.names}, {"then", ActionName(rule.then)}};
}

Json ToolValue(const Tool& tool) {
  Json value{{"name", tool.name}, {"run", StrategyName(tool.run)}};
  AddGhost(&value, tool.ghost);
  return value;
}

Json TestValue(const TestCase& test) {
  Json value;
  Texts(&value, "exec", test.exec);
  Text(&value, "connect", test.connect);
  Text(&value, "cwd", test.cwd);
  for (const auto& [name, text] : test.env) value["env"][name] = text;
  Fact(&value, "writable", test.writable);
  Fact(&value, "anonymous", test.anonymous);
  value["expect"] = ActionName(test.expect);
  Text(&value, "rule", test.rule);
  return value;
}

}  // namespace cellrun::policy
