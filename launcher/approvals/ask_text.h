// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cellrun::approvals {

// An ask for a person, whole: id, state and time left, then everything that the answer is about, as
// `approvals watch` shows it. Rows of at most `columns`; all text of the cell is escaped. "" for
// what is no ask.
std::string AskText(const nlohmann::json& ask, std::size_t columns);

// argv in C-like quotes on one line, escaped.
std::string CommandText(const nlohmann::json& ask);

// "1m 39s".
std::string TimeText(std::int64_t milliseconds);

// The columns of the terminal at descriptor `fd`; 100 where it is none.
std::size_t ColumnsOf(int fd);

}  // namespace cellrun::approvals
