// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

// Text that comes from a cell, made safe for a person's eyes: what is shown can neither move the
// cursor, hide, reorder nor imitate, and two different inputs never look the same.
namespace cellrun::text {

// Every control (C0, C1, DEL), format (Cf: bidi, zero-width, tags), private-use, surrogate,
// unassigned-plane and separator (U+2028, U+2029, exotic spaces) character becomes \u{HEX}; a byte
// that is not UTF-8 becomes \x{HH}; a backslash becomes \\. ASCII space and printable characters
// pass. The result is valid UTF-8.
std::string Escape(std::string_view untrusted);

// Escape(), in double quotes if it is empty or has a space, quote or shell-special character (then
// quotes inside are \").
std::string Quote(std::string_view untrusted);

// An argument list with its boundaries kept: Quote() of each, joined by one space.
std::string QuoteArguments(std::span<const std::string> untrusted);

// At most `max_bytes` of Escape()d text, cut at a character, with "…" at the end if something was
// cut.
std::string EscapeShort(std::string_view untrusted, std::size_t max_bytes);

// Whether the bytes are valid UTF-8 (RFC 3629: no surrogates, no overlong forms, ≤ U+10FFFF).
bool IsUtf8(std::string_view bytes);
void AppendUtf8(std::string& out, char32_t c);  // at most U+10FFFF

}  // namespace cellrun::text
