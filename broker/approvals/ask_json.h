// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "broker/approvals/book.h"

namespace cellrun::approvals {

enum class Detail : std::uint8_t { kList, kWhole };  // kList: argv is cut after 4 KiB

// The `approval` object of docs/api.md as one line of JSON without the line's end.
std::string AskJson(const Entry& entry, Detail detail, std::chrono::steady_clock::time_point now);

// What of it a person would be shown, without the queue's own part; argv whole.
std::string ShownJson(const Ask& ask);

}  // namespace cellrun::approvals
