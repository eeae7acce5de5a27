// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/rule_reader.h"

#include <algorithm>
#include <array>

#include "lib/base/result.h"
#include "lib/base/text.h"
#include "lib/policy/limits_reader.h"
#include "lib/policy/network_target.h"
#include "lib/policy/syscalls.h"
#include "lib/policy/units.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

void ReadHashes(const YamlNode& when, std::vector<std::string>* hashes) {
  constexpr std::size_t kPrefix = 7;  // "sha256:"
  const auto add = [&](const std::string& text) {
    std::string digits = text.substr(kPrefix);
    for (char& c : digits) c = c >= 'A' && c <= 'F' ? static_cast<char>(c + 32) : c;
    hashes->push_back(std::move(digits));
  };
  const YamlNode* node = when.Find("hash");
  if (node == nullptr) return;
  if (node->kind == YamlNode::Kind::kScalar) add(node->text);
  for (const YamlNode& item : node->items) add(item.text);
}

void ReadWhen(const FieldReader& reader, const YamlNode& map, When* when) {
  reader.Texts(map, "exe", &when->exe);
  ReadHashes(map, &when->hash);
  reader.Texts(map, "script", &when->script);
  reader.Texts(map, "interpreter", &when->interpreter);
  if (map.Find("args") != nullptr) reader.Texts(map, "args", &when->args.emplace());
  reader.Texts(map, "args-any", &when->args_any);
  reader.Texts(map, "args-none", &when->args_none);
  reader.Texts(map, "cwd", &when->cwd);
  reader.Texts(map, "parent", &when->parent);
  reader.Texts(map, "user", &when->user);
  reader.Boolean(map, "tty", &when->tty);
  reader.Boolean(map, "writable", &when->writable);
  reader.Boolean(map, "anonymous", &when->anonymous);
  const YamlNode* env = map.Find("env");
  if (env == nullptr) return;
  for (const YamlEntry& entry : env->entries) {
    EnvironmentCondition condition{entry.key, std::nullopt};
    if (entry.value.kind == YamlNode::Kind::kScalar) condition.glob = entry.value.text;
    when->env.push_back(std::move(condition));
  }
}

void ReadRewrite(const FieldReader& reader, const YamlNode& map, Rewrite* rewrite) {
  reader.Texts(map, "args-prepend", &rewrite->args_prepend);
  reader.Texts(map, "args-append", &rewrite->args_append);
  reader.Texts(map, "args-remove", &rewrite->args_remove);
  reader.Texts(map, "env-drop", &rewrite->env_drop);
  const YamlNode* set = map.Find("env-set");
  if (set == nullptr) return;
  for (const YamlEntry& entry : set->entries) {
    rewrite->env_set.emplace_back(entry.key, entry.value.text);
  }
}

// Which keys go with which verdicts.
struct Companion {
  const char* key;
  bool with_allow, with_ask, with_deny;
};
constexpr auto kCompanions = std::to_array<Companion>({
    {"message", false, false, true},
    {"suggest", false, false, true},
    {"errno", false, false, true},
    {"timeout", false, true, false},
    {"approvers", false, true, false},
    {"run", true, true, false},
    {"ghost", true, true, false},
    {"rewrite", true, true, false},
    {"check", true, true, false},
});

void CheckCompanions(const FieldReader& reader, const YamlNode& map, Action then) {
  for (const YamlEntry& entry : map.entries) {
    const auto companion = std::find_if(kCompanions.begin(), kCompanions.end(),
                                        [&](const Companion& c) { return entry.key == c.key; });
    if (companion == kCompanions.end()) continue;
    const std::array<bool, 3> fits{companion->with_allow, companion->with_ask,
                                   companion->with_deny};
    if (fits.at(static_cast<std::size_t>(then))) continue;
    std::string expected;
    for (const Action action : {Action::kAllow, Action::kAsk, Action::kDeny}) {
      if (!fits.at(static_cast<std::size_t>(action))) continue;
      expected +=
          (expected.empty() ? "only with then: " : " or ") + std::string(ActionName(action));
    }
    reader.Note(entry.value, "'" + entry.key + "' means nothing with then: " + ActionName(then),
                expected);
  }
}

void CheckCombination(const FieldReader& reader, const YamlNode& map, const CommandRule& rule) {
  CheckCompanions(reader, map, rule.then);
  const YamlNode* ghost = map.Find("ghost");
  if (ghost != nullptr && rule.run != Strategy::kGhost) {
    reader.Note(*ghost, "'ghost' without run: ghost", "run: ghost beside it");
  }
  const YamlNode* number = map.Find("errno");
  if (number != nullptr && (!rule.message.empty() || !rule.suggest.empty())) {
    reader.Note(*number, "'errno' beside 'message' or 'suggest'",
                "one of them: with an errno nothing is explained");
  }
  const YamlNode* parent = map.Find("when")->Find("parent");
  if (parent != nullptr && rule.then == Action::kAllow) {
    reader.Note(*parent, "'parent' in a rule that allows",
                "a rule that asks or denies: a cell can choose its parents");
  }
}

CommandRule ReadCommandRule(const FieldReader& reader, const YamlNode& map, Document* document) {
  CommandRule rule;
  rule.at = reader.At(map);
  rule.layer = reader.layer();
  reader.Text(map, "name", &rule.name);
  ReadWhen(reader, *map.Find("when"), &rule.when);
  reader.Verdict(map, "then", &rule.then);
  reader.Text(map, "reason", &rule.reason);
  reader.Text(map, "message", &rule.message);
  reader.Text(map, "suggest", &rule.suggest);
  reader.Text(map, "check", &rule.check);
  reader.Text(map, "expires", &rule.expires);
  if (const YamlNode* node = map.Find("errno")) rule.error = ErrnoFromName(node->text);
  if (const YamlNode* node = map.Find("timeout")) rule.timeout = ParseDuration(node->text);
  if (const YamlNode* node = map.Find("approvers")) {
    rule.approvers = static_cast<int>(IntegerValue(node->text));
  }
  if (const YamlNode* node = map.Find("run")) rule.run = StrategyFromName(node->text);
  if (const YamlNode* node = map.Find("ghost")) {
    ReadGhost(reader, *node, document, &rule.ghost.emplace());
  }
  if (const YamlNode* node = map.Find("rewrite")) ReadRewrite(reader, *node, &rule.rewrite);
  rule.audit_sync = map.Find("audit") != nullptr;
  CheckCombination(reader, map, rule);
  return rule;
}

// A workspace file that allowed would widen; the same for asking where something is denied anyway.
void CheckNarrowing(const FieldReader& reader, const YamlNode& then, bool narrow) {
  if (reader.layer() != Layer::kWorkspace || narrow) return;
  reader.Note(then, "'then: " + then.text + "' in a file of the workspace",
              "only what narrows, unless you read this file and ran `cellrun trust`");
}

void AddGroup(const FieldReader& reader, const YamlNode& node, Document* document) {
  if (!node.text.starts_with('@')) return;
  // The ports of a ghost's stand behind it.
  document->groups.push_back({node.text.substr(1, node.text.find(':') - 1), reader.At(node)});
}

void ReadPorts(const YamlNode& map, NetworkRule* rule) {
  const YamlNode* node = map.Find("ports");
  if (node == nullptr) return;
  const auto add = [&](const std::string& text) {
    if (const std::optional<PortRange> range = ParsePorts(text)) rule->ports.push_back(*range);
  };
  if (node->kind == YamlNode::Kind::kScalar) add(node->text);
  for (const YamlNode& item : node->items) add(item.text);
}

void CheckSyscallRule(const FieldReader& reader, const YamlNode& map, const SyscallRule& rule) {
  const YamlNode& then = *map.Find("then");
  for (const std::string& name : rule.names) {
    if (rule.then == Action::kAllow && !IsOptIn(name)) {
      reader.Note(then, "'" + name + "' cannot be allowed",
                  "one of the reviewed opt-ins: ptrace, userns, perf, keyctl");
    } else if (rule.then == Action::kAsk && !IsBrokered(name)) {
      reader.Note(then, "'" + name + "' cannot be asked for",
                  "a call that the broker can do itself: mknod, mknodat");
    }
  }
  CheckNarrowing(reader, then, rule.then == Action::kDeny);
}

}  // namespace

void ReadGhost(const FieldReader& reader, const YamlNode& map, Document* document, Ghost* ghost) {
  reader.Texts(map, "network", &ghost->network);
  if (const YamlNode* network = map.Find("network")) {
    for (const YamlNode& item : network->items) AddGroup(reader, item, document);
  }
  reader.Texts(map, "secrets", &ghost->secrets);
  reader.Text(map, "image", &ghost->image);
  std::vector<Placed<std::string>> write;
  reader.Paths(map, "write", &write);
  for (Placed<std::string>& path : write) ghost->write.push_back(std::move(path.value));
  if (const YamlNode* limits = map.Find("limits")) ReadLimits(reader, *limits, &ghost->limits);
  const YamlNode* secrets = map.Find("secrets");
  if (secrets == nullptr) return;
  for (const YamlNode& item : secrets->items) {
    document->secrets.push_back({item.text, reader.At(item)});
  }
}

void ReadCommandRules(const FieldReader& reader, const YamlNode& list, Document* document) {
  std::vector<CommandRule>& rules = document->values.command_rules;
  rules.reserve(list.items.size());
  for (const YamlNode& item : list.items) {
    rules.push_back(ReadCommandRule(reader, item, document));
    CheckNarrowing(reader, *item.Find("then"), rules.back().then != Action::kAllow);
  }
}

void ReadNetworkRules(const FieldReader& reader, const YamlNode& list, Document* document) {
  for (const YamlNode& item : list.items) {
    NetworkRule& rule = document->values.network_rules.emplace_back();
    rule.at = reader.At(item);
    rule.layer = reader.layer();
    reader.Text(item, "name", &rule.name);
    reader.Texts(item, "to", &rule.to);
    ReadPorts(item, &rule);
    if (const YamlNode* node = item.Find("proto")) rule.udp = node->text == "udp";
    reader.Verdict(item, "then", &rule.then);
    reader.Text(item, "reason", &rule.reason);
    reader.Text(item, "expires", &rule.expires);
    const YamlNode& to = *item.Find("to");
    AddGroup(reader, to, document);
    for (const YamlNode& target : to.items) AddGroup(reader, target, document);
    CheckNarrowing(reader, *item.Find("then"), rule.then != Action::kAllow);
  }
}

void ReadSyscallRules(const FieldReader& reader, const YamlNode& list, Document* document) {
  for (const YamlNode& item : list.items) {
    SyscallRule& rule = document->values.syscall_rules.emplace_back();
    rule.at = reader.At(item);
    rule.layer = reader.layer();
    reader.Texts(item, "name", &rule.names);
    reader.Verdict(item, "then", &rule.then);
    CheckSyscallRule(reader, item, rule);
  }
}

}  // namespace cellrun::policy
