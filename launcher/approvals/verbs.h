// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

// `cellrun approvals`, `approve` and `deny`. Each returns the exit status: 0, 1 when something
// could not be done (the ask is over, or has changed), 2 for a wrong value.
namespace cellrun::approvals {

struct ListOptions {
  std::vector<std::string> states;  // empty: pending
  std::string cell;
  std::uint64_t limit = 0;  // 0: all
  bool follow = false, headers = true;
  std::string output = "table";
};
int List(const ListOptions& options);

int Show(const std::string& id, const std::string& output);

int ListRules(const std::string& output, bool headers);
int RemoveRules(const std::vector<std::string>& ids);

struct AnswerOptions {
  bool approve = false;
  std::vector<std::string> ids;
  std::string scope = "once";
  std::optional<std::chrono::milliseconds> for_time;
  std::string reason;
  bool edit = false;   // in $EDITOR
  std::string argv;    // instead, as a JSON array
  bool widen = false;  // any content of the program
  bool yes = false;    // store a rule without being asked
};
int Answer(const AnswerOptions& options);

struct ReportOptions {
  std::string database, broker_program, api_socket;
  std::string since;
  std::string output = "table";
};
int Report(const ReportOptions& options);

}  // namespace cellrun::approvals
