// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace cellrun::policy {

// What one step of a pattern matches: a Unicode character, or a byte that is not UTF-8, which is
// kStrayByte plus its value, so that no text escapes a pattern by being malformed.
inline constexpr std::uint32_t kStrayByte = 0x110000;

// The symbol at `at`, which must be inside `text`; moves `at` past it.
std::uint32_t NextSymbol(std::string_view text, std::size_t& at);

// The bytes that NextSymbol read.
void AppendSymbol(std::uint32_t symbol, std::string& text);

}  // namespace cellrun::policy
