// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/field_reader.h"

#include <utility>

#include "lib/policy/glob.h"

namespace cellrun::policy {

Action ActionFromName(std::string_view name) {
  if (name == "allow") return Action::kAllow;
  return name == "ask" ? Action::kAsk : Action::kDeny;
}

Strategy StrategyFromName(std::string_view name) {
  if (name == "mirror") return Strategy::kMirror;
  return name == "ghost" ? Strategy::kGhost : Strategy::kInPlace;
}

void FieldReader::Text(const YamlNode& map, std::string_view key, std::string* target) const {
  if (const YamlNode* node = map.Find(key)) *target = node->text;
}

void FieldReader::Text(const YamlNode& map, std::string_view key,
                       Placed<std::string>* target) const {
  if (const YamlNode* node = map.Find(key)) *target = Place(node->text, *node);
}

void FieldReader::Texts(const YamlNode& map, std::string_view key,
                        std::vector<std::string>* target) const {
  const YamlNode* node = map.Find(key);
  if (node == nullptr) return;
  if (node->kind == YamlNode::Kind::kScalar) target->push_back(node->text);
  for (const YamlNode& item : node->items) target->push_back(item.text);
}

void FieldReader::Texts(const YamlNode& map, std::string_view key,
                        std::vector<Placed<std::string>>* target) const {
  const YamlNode* node = map.Find(key);
  if (node == nullptr) return;
  for (const YamlNode& item : node->items) target->push_back(Place(item.text, item));
}

void FieldReader::Paths(const YamlNode& map, std::string_view key,
                        std::vector<Placed<std::string>>* target) const {
  const YamlNode* node = map.Find(key);
  if (node == nullptr) return;
  for (const YamlNode& item : node->items) target->push_back(Place(Absolute(item.text), item));
}

void FieldReader::Boolean(const YamlNode& map, std::string_view key,
                          std::optional<bool>* target) const {
  if (const YamlNode* node = map.Find(key)) *target = node->text == "true";
}

void FieldReader::Verdict(const YamlNode& map, std::string_view key, Action* target) const {
  if (const YamlNode* node = map.Find(key)) *target = ActionFromName(node->text);
}

void FieldReader::Verdict(const YamlNode& map, std::string_view key, Placed<Action>* target) const {
  if (const YamlNode* node = map.Find(key)) *target = Place(ActionFromName(node->text), *node);
}

void FieldReader::Audit(const YamlNode& map, std::string_view key,
                        Placed<AuditLevel>* target) const {
  const YamlNode* node = map.Find(key);
  if (node == nullptr) return;
  const AuditLevel level = node->text == "all"      ? AuditLevel::kAll
                           : node->text == "denied" ? AuditLevel::kDenied
                                                    : AuditLevel::kNone;
  *target = Place(level, *node);
}

std::string FieldReader::Absolute(const std::string& text) const {
  std::string base;
  std::string_view rest = text;
  if (text == "~" || text.starts_with("~/")) {
    base = places_.home;
    rest.remove_prefix(1);
  } else if (!text.starts_with('/')) {
    base = places_.workspace;
  }
  // A directory's own name is never a pattern.
  std::string path = HasGlobCharacters(text) ? EscapeGlob(base) : base;
  while (!rest.empty()) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (!part.empty() && part != ".") path += (path == "/" ? "" : "/") + std::string(part);
  }
  return path;
}

void FieldReader::Note(const YamlNode& node, std::string what, std::string expected) const {
  problems_->push_back({At(node), std::move(what), std::move(expected), ""});
}

}  // namespace cellrun::policy
