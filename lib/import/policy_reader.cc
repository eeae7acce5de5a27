// SPDX-License-Identifier: Apache-2.0
#include "lib/import/policy_reader.h"

#include <algorithm>
#include <utility>

#include "lib/base/text.h"

namespace cellrun::import {

using policy::YamlEntry;
using policy::YamlNode;
using Kind = YamlNode::Kind;

std::vector<policy::Problem> PolicyReader::TakeProblems() {
  constexpr std::size_t kMost = 20;
  std::vector<policy::Problem> problems = std::move(problems_);
  if (problems.size() > kMost) problems.erase(problems.begin() + kMost, problems.end());
  return problems;
}

void PolicyReader::Note(const policy::Position& at, const std::string& what,
                        const std::string& expected) {
  problems_.push_back({at, text::Escape(what), text::Escape(expected), ""});
}

bool PolicyReader::IsMap(const YamlNode& node, const char* what) {
  if (node.kind != Kind::kMap) Note(At(node), std::string(what) + " must be a mapping");
  return node.kind == Kind::kMap;
}

bool PolicyReader::IsList(const YamlNode& node, const char* what) {
  if (node.kind != Kind::kList) Note(At(node), std::string(what) + " must be a list");
  return node.kind == Kind::kList;
}

void PolicyReader::Known(const YamlNode& map, std::initializer_list<std::string_view> keys) {
  std::string list;
  for (const std::string_view key : keys) list += (list.empty() ? "" : ", ") + std::string(key);
  for (const YamlEntry& entry : map.entries) {
    if (std::find(keys.begin(), keys.end(), entry.key) != keys.end()) continue;
    Note(At(entry.line, entry.column), "unknown key '" + entry.key + "'", "one of: " + list);
  }
}

std::string PolicyReader::Text(const YamlNode& node) {
  if (node.kind != Kind::kScalar) Note(At(node), "a text is expected here");
  return node.text;
}

std::vector<PolicyText> PolicyReader::Texts(const YamlNode& node) {
  std::vector<PolicyText> texts;
  if (node.kind == Kind::kNull) return texts;
  if (node.kind != Kind::kList) Note(At(node), "a list is expected here", "[a, b]");
  for (const YamlNode& item : node.items) texts.push_back(Place(item));
  return texts;
}

bool PolicyReader::Boolean(const YamlNode& node, const char* name) {
  const std::string text = Text(node);
  if (text != "true" && text != "false") {
    Note(At(node), std::string(name) + ": '" + text + "'", "true or false");
  }
  return text == "true";
}

}  // namespace cellrun::import
