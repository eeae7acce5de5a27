// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/schema.h"

#include <algorithm>

#include "lib/base/check.h"
#include "lib/policy/key_table.h"

namespace cellrun::policy {
namespace {

// "commands.rules[].when" -> "commands", "rules", "when".
std::vector<std::string_view> Parts(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const std::size_t dot = std::min(path.find('.'), path.size());
    std::string_view part = path.substr(0, dot);
    path.remove_prefix(std::min(dot + 1, path.size()));
    if (part.ends_with("[]")) part.remove_suffix(2);
    parts.push_back(part);
  }
  return parts;
}

KeyNode BuildTree() {
  KeyNode root;
  for (const Key& key : KeyTable()) {
    const std::vector<std::string_view> parts = Parts(key.path);
    KeyNode* parent = &root;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto child = std::find_if(parent->children.begin(), parent->children.end(),
                                      [&](const KeyNode& node) { return node.name == parts[i]; });
      CHECK(child != parent->children.end());  // a section stands before its keys
      parent = &*child;
    }
    parent->children.push_back({&key, parts.back(), {}});
  }
  return root;
}

// How many changes a typing error may be: one in short words, more in longer ones.
std::size_t Tolerance(std::string_view word) {
  return std::clamp<std::size_t>(word.size() / 3, 1, 3);
}

std::string Nearest(const std::vector<std::string_view>& known, std::string_view unknown) {
  constexpr std::size_t kLongestTypo = 40;
  if (unknown.size() > kLongestTypo) return "";
  std::string_view best;
  std::size_t best_distance = Tolerance(unknown) + 1;
  for (const std::string_view candidate : known) {
    const std::size_t distance = EditDistance(candidate, unknown);
    if (distance >= best_distance) continue;
    best = candidate;
    best_distance = distance;
  }
  return std::string(best);
}

}  // namespace

const KeyNode* KeyNode::Find(std::string_view child) const {
  const auto found = std::find_if(children.begin(), children.end(),
                                  [&](const KeyNode& node) { return node.name == child; });
  return found == children.end() ? nullptr : &*found;
}

std::span<const Key> KeyTable() {
  static const std::vector<Key> table = [] {
    std::vector<Key> keys;
    for (const auto part : {CellKeys(), RuleKeys(), RunKeys()}) {
      keys.insert(keys.end(), part.begin(), part.end());
    }
    return keys;
  }();
  return table;
}

const KeyNode& KeyTree() {
  static const KeyNode root = BuildTree();
  return root;
}

std::string NearestKey(const KeyNode& parent, std::string_view unknown) {
  std::vector<std::string_view> names;
  for (const KeyNode& child : parent.children) names.push_back(child.name);
  return Nearest(names, unknown);
}

std::string NearestChoice(const Key& key, std::string_view unknown) {
  return Nearest(Choices(key), unknown);
}

std::vector<std::string_view> Choices(const Key& key) {
  std::vector<std::string_view> choices;
  std::string_view rest = key.choices;
  while (!rest.empty()) {
    const std::size_t space = std::min(rest.find(' '), rest.size());
    choices.push_back(rest.substr(0, space));
    rest.remove_prefix(std::min(space + 1, rest.size()));
  }
  return choices;
}

std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replace = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      cost[i][j] = std::min({replace, cost[i - 1][j] + 1, cost[i][j - 1] + 1});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace cellrun::policy
