// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/rules.h"

#include <algorithm>
#include <utility>

#include "broker/approvals/rule_text.h"
#include "broker/journal/digest.h"
#include "lib/base/text.h"
#include "lib/policy/load.h"

namespace cellrun::approvals {
namespace {

constexpr const char* kHead =
    "# Answers that were remembered. cellrun writes this file: what is changed here is lost.\n"
    "# See them with `cellrun approvals rules`, take one back with `cellrun approvals rules rm "
    "ID`.\n";
constexpr std::size_t kNameDigits = 16;

const std::string& KeyOf(const Rule& rule) {
  static const std::string kNone;
  if (rule.scope == Scope::kCell) return rule.cell_id;
  return rule.scope == Scope::kProject ? rule.workspace : kNone;
}

std::string Indented(const std::string& text) {
  std::string out = "    ";
  for (std::size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    if (text[i] == '\n' && i + 1 < text.size()) out += "    ";
  }
  return out;
}

// One line, whatever the names in it are.
std::string CommentOf(const Rule& rule) {
  return "    # " + rule.id + ": ask " + rule.ask + " of cell " + text::Escape(rule.cell_name) +
         ", answered by " + text::Escape(rule.by) + " at " + ExpiryText(rule.created) + "\n";
}

}  // namespace

void Rules::Add(Rule rule) {
  std::string id = rule.id;
  rules_.insert_or_assign(std::move(id), std::move(rule));
}

std::optional<Rule> Rules::Remove(const std::string& id) {
  const auto found = rules_.lower_bound(id);
  if (id.empty() || found == rules_.end() || !found->first.starts_with(id)) return std::nullopt;
  const auto next = std::next(found);
  const bool ambiguous = found->first != id && next != rules_.end() && next->first.starts_with(id);
  if (ambiguous) return std::nullopt;
  Rule rule = std::move(found->second);
  rules_.erase(found);
  return rule;
}

void Rules::ForgetCell(const std::string& cell_id) {
  std::erase_if(rules_, [&](const auto& one) {
    return one.second.scope == Scope::kCell && one.second.cell_id == cell_id;
  });
}

std::vector<Rule> Rules::Expire(std::chrono::system_clock::time_point now) {
  std::vector<Rule> expired;
  for (auto rule = rules_.begin(); rule != rules_.end();) {
    if (rule->second.expires && *rule->second.expires <= now) {
      expired.push_back(std::move(rule->second));
      rule = rules_.erase(rule);
    } else {
      ++rule;
    }
  }
  return expired;
}

std::optional<std::chrono::system_clock::time_point> Rules::NextExpiry() const {
  std::optional<std::chrono::system_clock::time_point> next;
  for (const auto& [id, rule] : rules_) {
    if (rule.expires && (!next || *rule.expires < *next)) next = rule.expires;
  }
  return next;
}

bool Rules::Concerns(const Rule& rule, const std::string& cell_id, const std::string& workspace) {
  if (rule.scope == Scope::kCell) return rule.cell_id == cell_id;
  return rule.scope == Scope::kAlways || rule.workspace == workspace;
}

std::string Rules::OriginOf(Scope scope, const std::string& key) const {
  if (scope == Scope::kAlways) return directory_ + "/always.yaml";
  if (scope == Scope::kCell) return "remembered for cell " + key;
  journal::Sha256 sha256;
  const std::string digest = journal::Hex(sha256.Of({key}));
  return directory_ + "/project-" + digest.substr(0, kNameDigits) + ".yaml";
}

std::string Rules::FileOf(Scope scope, const std::string& workspace) const {
  return scope == Scope::kCell || scope == Scope::kOnce ? "" : OriginOf(scope, workspace);
}

policy::Source Rules::DocumentOf(Scope scope, const std::string& key) const {
  std::vector<const Rule*> mine;
  for (const auto& [id, rule] : rules_) {
    if (rule.scope == scope && KeyOf(rule) == key) mine.push_back(&rule);
  }
  if (mine.empty()) return {};
  std::sort(mine.begin(), mine.end(), [](const Rule* a, const Rule* b) {
    return std::tie(a->created, a->id) < std::tie(b->created, b->id);
  });
  std::string text = kHead;
  if (scope == Scope::kProject) text += "# For the workspace " + text::Escape(key) + "\n";
  text += "cellrun: 1\nname: remembered\ncommands:\n  rules:\n";
  for (const Rule* rule : mine) text += CommentOf(*rule) + Indented(rule->text);
  return {.name = "",
          .origin = OriginOf(scope, key),
          .text = std::move(text),
          .layer = policy::Layer::kRemembered};
}

std::vector<policy::Source> Rules::DocumentsFor(const std::string& cell_id,
                                                const std::string& workspace) const {
  std::vector<policy::Source> documents;
  const std::pair<Scope, std::string> places[] = {
      {Scope::kCell, cell_id}, {Scope::kProject, workspace}, {Scope::kAlways, ""}};
  for (const auto& [scope, key] : places) {
    policy::Source document = DocumentOf(scope, key);
    if (!document.text.empty()) documents.push_back(std::move(document));
  }
  return documents;
}

bool Rules::HasRoom(const Rule& rule) const {
  const std::size_t text = DocumentOf(rule.scope, KeyOf(rule)).text.size();
  return text + 2 * rule.text.size() < policy::kMaxProfileBytes / 2;
}

std::map<std::string, std::string> Rules::Files() const {
  std::map<std::string, std::string> files;
  for (const auto& [id, rule] : rules_) {
    if (rule.scope == Scope::kCell) continue;
    const std::string path = OriginOf(rule.scope, KeyOf(rule));
    if (!files.contains(path)) files[path] = DocumentOf(rule.scope, KeyOf(rule)).text;
  }
  return files;
}

}  // namespace cellrun::approvals
