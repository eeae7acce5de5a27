// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/profile.h"
#include "lib/policy/source.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::policy {

// Takes typed values out of a checked tree: a key that is not there leaves its target alone.
class FieldReader {
 public:
  FieldReader(const Source& source, const Places& places, std::vector<Problem>* problems)
      : source_(source), places_(places), problems_(problems) {}

  [[nodiscard]] Position At(const YamlNode& node) const {
    return {source_.origin, node.line, node.column};
  }
  [[nodiscard]] Layer layer() const { return source_.layer; }

  template <typename T>
  [[nodiscard]] Placed<T> Place(T value, const YamlNode& node) const {
    return {std::move(value), At(node), source_.layer};
  }

  void Text(const YamlNode& map, std::string_view key, std::string* target) const;
  void Text(const YamlNode& map, std::string_view key, Placed<std::string>* target) const;
  // One scalar or a list of them.
  void Texts(const YamlNode& map, std::string_view key, std::vector<std::string>* target) const;
  void Texts(const YamlNode& map, std::string_view key,
             std::vector<Placed<std::string>>* target) const;
  // The same for paths and masked names, made absolute.
  void Paths(const YamlNode& map, std::string_view key,
             std::vector<Placed<std::string>>* target) const;
  void Boolean(const YamlNode& map, std::string_view key, std::optional<bool>* target) const;
  void Verdict(const YamlNode& map, std::string_view key, Action* target) const;
  void Verdict(const YamlNode& map, std::string_view key, Placed<Action>* target) const;
  void Audit(const YamlNode& map, std::string_view key, Placed<AuditLevel>* target) const;

  // "~/x" below home, "x" below the workspace, no doubled or trailing slashes, no "." parts.
  [[nodiscard]] std::string Absolute(const std::string& text) const;

  void Note(const YamlNode& node, std::string what, std::string expected) const;

 private:
  const Source& source_;
  const Places& places_;
  std::vector<Problem>* problems_;
};

// "ask" -> kAsk. The text is one of the three.
Action ActionFromName(std::string_view name);
Strategy StrategyFromName(std::string_view name);

}  // namespace cellrun::policy
