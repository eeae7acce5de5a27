// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace cellrun::watch {

struct EnvironmentChange {
  std::string name;
  std::optional<std::string> before, after;  // absent: not set
};

// An ask as the API gives it (docs/api.md, Approvals). Strings are raw, as the cell said them.
struct Ask {
  std::string id, state, digest;
  std::string cell, profile, workspace;
  std::int64_t pid = 0;
  std::uint64_t waiting = 1;  // processes that wait for this answer
  std::vector<std::string> parents;
  std::string cwd;

  std::string strategy, program, image_hash;
  std::vector<std::string> chain;
  bool writable = false;
  std::vector<std::string> argv, original_argv;
  std::uint64_t argv_bytes = 0;
  bool argv_cut = false;  // the list's short form: not what may be approved
  std::vector<EnvironmentChange> environment;
  std::string script_copy, script_hash;

  std::string rule_name, rule_file;
  std::uint64_t rule_line = 0;
  std::string reason, said_by_cell;
  std::vector<std::string> risks;
  std::chrono::milliseconds left{0};  // when it was sent
  std::string on_timeout;             // "deny", "allow"
  std::uint64_t approvers = 1;
  std::vector<std::string> approved_by;
  bool rememberable = true;
  std::string answered_by, answer_reason;

  [[nodiscard]] bool pending() const { return state == "pending"; }
};

// Nothing for what is no ask: fields of another type, or without id or digest. Unknown fields are
// passed over.
std::optional<Ask> AskFromJson(const nlohmann::json& object);

}  // namespace cellrun::watch
