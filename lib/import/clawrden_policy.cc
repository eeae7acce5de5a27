// SPDX-License-Identifier: Apache-2.0
#include "lib/import/clawrden_policy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "lib/import/policy_reader.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::import {
namespace {

using policy::Action;
using policy::Problem;
using policy::YamlEntry;
using policy::YamlNode;
using Milliseconds = std::chrono::milliseconds;
using Kind = YamlNode::Kind;

struct Unit {
  std::string_view name;
  double milliseconds;
};
constexpr std::array kUnits = {Unit{"ns", 1e-6},      Unit{"us", 1e-3},  Unit{"µs", 1e-3},
                               Unit{"ms", 1},         Unit{"s", 1000.0}, Unit{"m", 60'000.0},
                               Unit{"h", 3'600'000.0}};
constexpr double kLongest = 10.0 * 365 * 24 * 3'600'000;

// "1h30m", "1.5h", "300s"; a bare number counts nanoseconds.
std::optional<Milliseconds> ParseGoDuration(std::string_view text) {
  double total = 0;
  if (text.empty()) return std::nullopt;
  if (text.find_first_not_of("0123456789") == std::string_view::npos) {
    std::int64_t nanoseconds = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), nanoseconds);
    if (error != std::errc()) return std::nullopt;
    return Milliseconds(nanoseconds / 1'000'000);
  }
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || number < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::size_t size = std::min(text.find_first_of("0123456789."), text.size());
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(), [&](const Unit& known) {
      return known.name == text.substr(0, size);
    });
    if (unit == kUnits.end()) return std::nullopt;
    total += number * unit->milliseconds;
    text.remove_prefix(size);
  }
  if (total > kLongest) return std::nullopt;
  return Milliseconds(static_cast<std::int64_t>(total));
}

class Reader : public PolicyReader {
 public:
  using PolicyReader::PolicyReader;

  ClawrdenPolicy Read(const YamlNode& root) {
    ClawrdenPolicy policy;
    if (root.kind == Kind::kNull) return WithDefaultPaths(policy);
    if (!IsMap(root, "a policy")) return policy;
    Known(root, {"default_action", "default_timeout", "allowed_paths", "jails", "rules"});
    if (const YamlNode* node = root.Find("default_action")) {
      policy.default_action = ActionOf(*node);
    }
    if (const YamlNode* node = root.Find("default_timeout")) {
      const Milliseconds timeout = Duration(*node);
      if (timeout.count() != 0) policy.default_timeout = timeout;
    }
    if (const YamlNode* node = root.Find("allowed_paths")) policy.allowed_paths = Texts(*node);
    if (const YamlNode* node = root.Find("jails")) policy.jails = Jails(*node);
    if (const YamlNode* node = root.Find("rules")) ReadRules(*node, policy);
    return WithDefaultPaths(policy);
  }

 private:
  // An empty list and no list are the same to Clawrden.
  static ClawrdenPolicy WithDefaultPaths(ClawrdenPolicy policy) {
    if (!policy.allowed_paths.empty()) return policy;
    policy.default_paths = true;
    policy.allowed_paths = {{"/app/*", {}}, {"/tmp/*", {}}};
    return policy;
  }

  Action ActionOf(const YamlNode& node) {
    const std::string text = Text(node);
    for (const Action action : {Action::kAllow, Action::kAsk, Action::kDeny}) {
      if (text == policy::ActionName(action)) return action;
    }
    Note(At(node), "unknown action '" + text + "'", "one of: allow, ask, deny");
    return Action::kDeny;
  }
  Milliseconds Duration(const YamlNode& node) {
    const auto duration = ParseGoDuration(Text(node));
    if (!duration) Note(At(node), "'" + node.text + "' is not a duration", "such as 30s or 1h30m");
    return duration.value_or(Milliseconds(0));
  }
  std::vector<std::string> Jails(const YamlNode& node) {
    std::vector<std::string> names;
    if (node.kind == Kind::kNull || !IsMap(node, "jails")) return names;
    for (const YamlEntry& jail : node.entries) {
      names.push_back(jail.key);
      if (!IsMap(jail.value, "a jail")) continue;
      Known(jail.value, {"commands", "hardened"});
      if (const YamlNode* commands = jail.value.Find("commands")) (void)Texts(*commands);
      const YamlNode* hardened = jail.value.Find("hardened");
      if (hardened != nullptr) (void)Boolean(*hardened, "hardened");
    }
    return names;
  }
  void ReadRules(const YamlNode& node, ClawrdenPolicy& policy) {
    if (node.kind == Kind::kNull) return;
    if (!IsList(node, "rules")) return;
    for (const YamlNode& item : node.items) {
      if (IsMap(item, "a rule")) policy.rules.push_back(Rule(item));
    }
  }
  ClawrdenRule Rule(const YamlNode& node) {
    Known(node, {"command", "action", "args", "reason", "timeout"});
    ClawrdenRule rule;
    rule.at = At(node);
    const YamlNode* command = node.Find("command");
    if (command == nullptr) Note(rule.at, "a rule without 'command'");
    if (command != nullptr) rule.command = {Text(*command), At(*command)};
    const YamlNode* action = node.Find("action");
    if (action == nullptr) Note(rule.at, "a rule without 'action'", "allow, ask or deny");
    if (action != nullptr) rule.action = ActionOf(*action);
    if (const YamlNode* arguments = node.Find("args")) rule.arguments = Texts(*arguments);
    if (const YamlNode* reason = node.Find("reason")) rule.reason = Text(*reason);
    if (const YamlNode* timeout = node.Find("timeout")) rule.timeout = Duration(*timeout);
    return rule;
  }
};

}  // namespace

policy::Checked<ClawrdenPolicy> ReadClawrdenPolicy(const policy::Source& source) {
  YamlNode root;
  std::vector<Problem> problems = policy::ReadYaml(source, &root);
  if (!problems.empty()) return problems;
  Reader reader(source);
  ClawrdenPolicy policy = reader.Read(root);
  problems = reader.TakeProblems();
  if (!problems.empty()) return problems;
  return policy;
}

}  // namespace cellrun::import
