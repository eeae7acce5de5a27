// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string_view>
#include <vector>

namespace cellrun::options {

// As policy::ParseDuration ("500ms" "30s" "5m" "2h" "7d"), but not zero.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);

// RFC 3339 ("2026-07-01T12:00:00Z", with fraction or offset) or a duration before `now`.
std::optional<std::chrono::system_clock::time_point> ParseMoment(
    std::string_view text, std::chrono::system_clock::time_point now);

// A whole number from 1 to 10^9, digits only.
std::optional<unsigned long> ParseCount(std::string_view text);

// "a|b|c" -> {a, b, c}.
std::vector<std::string_view> SplitChoices(std::string_view choices);

}  // namespace cellrun::options
