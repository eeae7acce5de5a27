// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cellrun::policy {

// "100ms", "30s", "5m", "2h", "7d": a whole number and one unit. Nothing for anything else and for
// what is longer than ten years.
std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text);
// The shortest form that ParseDuration reads back: "90s", "5m".
std::string FormatDuration(std::chrono::milliseconds duration);

// "512", "64K", "512M", "2G", "1T" in bytes, binary multiples. Nothing for anything else and for
// what is above 2^60.
std::optional<std::uint64_t> ParseSize(std::string_view text);
// The shortest form that ParseSize reads back.
std::string FormatSize(std::uint64_t bytes);

}  // namespace cellrun::policy
