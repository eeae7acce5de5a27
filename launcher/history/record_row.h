// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

// How a record (docs/journal.md) looks to a person. Everything from a cell is escaped.
namespace cellrun::history {

// Names of cells by id.
using CellNames = std::map<std::string, std::string>;

struct Row {
  std::string id, time, cell, verdict, rule, result, what;
};

using Clock = std::chrono::system_clock;

Row RowOf(const nlohmann::json& record, const CellNames& names, Clock::time_point now);

// "12s ago"; the date for what is older than a month or in the future; "?" for what is no time.
std::string Ago(const std::string& time, Clock::time_point now);
// "git push origin main": the program that ran (not what it called itself) with its arguments.
std::string CommandOf(const nlohmann::json& record);
// "strict.yaml:23", "default".
std::string RuleOf(const nlohmann::json& rule);

struct TableStyle {
  bool color = false;
  bool headers = true;
  std::size_t max_command_characters = 0;  // 0: whole
};
// Columns as wide as they need to be; the command stands last.
std::string TableOf(const std::vector<Row>& rows, const TableStyle& style);
// One row of a table that goes on: widths are fixed.
std::string LineOf(const Row& row, const TableStyle& style);

}  // namespace cellrun::history
