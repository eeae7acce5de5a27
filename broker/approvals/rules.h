// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/approvals/ask.h"
#include "lib/base/result.h"
#include "lib/policy/source.h"

namespace cellrun::approvals {

// One remembered answer.
struct Rule {
  std::string id;  // 8 hex digits
  Scope scope = Scope::kCell;
  std::string cell_id, cell_name;  // of the cell that asked; the rule is for it if scope is kCell
  std::string workspace;           // likewise for kProject
  policy::Action verdict = policy::Action::kAllow;
  std::string text;  // YAML, beginning with "- "
  std::string exe;   // canonical
  std::chrono::system_clock::time_point created;
  std::optional<std::chrono::system_clock::time_point> expires;
  std::string by, ask;
};

// The remembered rules, and the documents that they are for the policy: one for all, one for each
// workspace, one for each cell. No I/O.
class Rules {
 public:
  // `directory`: where the documents can be read; their origin in messages.
  explicit Rules(std::string directory) : directory_(std::move(directory)) {}

  void Add(Rule rule);
  // Nothing: there is none. By id or unique start of one.
  std::optional<Rule> Remove(const std::string& id);
  void ForgetCell(const std::string& cell_id);
  // Those that have expired, which are gone.
  std::vector<Rule> Expire(std::chrono::system_clock::time_point now);
  [[nodiscard]] std::optional<std::chrono::system_clock::time_point> NextExpiry() const;

  // Of layer kRemembered, the narrowest first; none where nothing is remembered.
  [[nodiscard]] std::vector<policy::Source> DocumentsFor(const std::string& cell_id,
                                                         const std::string& workspace) const;
  // Where rules of this scope can be read; "" for those of a cell, which are in memory.
  [[nodiscard]] std::string FileOf(Scope scope, const std::string& workspace) const;
  // The documents that are kept as files: path → text.
  [[nodiscard]] std::map<std::string, std::string> Files() const;
  [[nodiscard]] const std::map<std::string, Rule>& all() const { return rules_; }  // by id

  // Whether one more of this size keeps the document loadable.
  [[nodiscard]] bool HasRoom(const Rule& rule) const;
  // Whether the rule counts in this cell.
  static bool Concerns(const Rule& rule, const std::string& cell_id, const std::string& workspace);

 private:
  [[nodiscard]] policy::Source DocumentOf(Scope scope, const std::string& key) const;
  [[nodiscard]] std::string OriginOf(Scope scope, const std::string& key) const;

  const std::string directory_;
  std::map<std::string, Rule> rules_;
};

}  // namespace cellrun::approvals
