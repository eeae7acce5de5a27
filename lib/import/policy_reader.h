// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/source.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::import {

// A text of the policy, and where it stands.
struct PolicyText {
  std::string text;
  policy::Position at;
};

// What readers of other tools' YAML files share: they note what is wrong, with its place, and go
// on.
class PolicyReader {
 public:
  explicit PolicyReader(const policy::Source& source) : origin_(source.origin) {}
  // At most twenty.
  std::vector<policy::Problem> TakeProblems();

 protected:
  [[nodiscard]] policy::Position At(int line, int column) const { return {origin_, line, column}; }
  [[nodiscard]] policy::Position At(const policy::YamlNode& node) const {
    return At(node.line, node.column);
  }
  void Note(const policy::Position& at, const std::string& what, const std::string& expected = "");
  bool IsMap(const policy::YamlNode& node, const char* what);
  bool IsList(const policy::YamlNode& node, const char* what);
  // Other keys are problems.
  void Known(const policy::YamlNode& map, std::initializer_list<std::string_view> keys);
  std::string Text(const policy::YamlNode& node);
  PolicyText Place(const policy::YamlNode& node) { return {Text(node), At(node)}; }
  std::vector<PolicyText> Texts(const policy::YamlNode& node);  // null: none
  bool Boolean(const policy::YamlNode& node, const char* name);

 private:
  const std::string origin_;
  std::vector<policy::Problem> problems_;
};

}  // namespace cellrun::import
