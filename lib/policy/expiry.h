// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace cellrun::policy {

using Time = std::chrono::system_clock::time_point;

// The moment at which `expires: TEXT` makes a rule void: a date is midnight UTC at its beginning,
// RFC 3339 is that moment. Nothing for any other text.
std::optional<Time> ParseExpiry(std::string_view text);

}  // namespace cellrun::policy
