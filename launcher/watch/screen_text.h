// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Text for a grid of character cells. What comes from a cell of ours is made safe first, then
// measured, then cut: a width is never computed of anything that is not drawn as it stands.
namespace cellrun::watch {

enum class Style : std::uint8_t { kPlain, kStrong, kFaint, kSelected, kGood, kWarning, kBad };

struct Span {
  std::string text;  // safe: only what DisplaySafe passes
  Style style = Style::kPlain;
};
using Line = std::vector<Span>;

enum class Charset : std::uint8_t { kAscii, kUtf8 };

// text::Escape, and then \u{…} also for what terminals disagree about: whatever has no width of its
// own, is wide in some and narrow in others, joins or shapes its neighbours, or is written from
// right to left. With kAscii everything but ASCII. Two inputs never look the same.
std::string DisplaySafe(std::string_view untrusted, Charset charset);
// The same with text::Quote's quotes.
std::string DisplayQuoted(std::string_view untrusted, Charset charset);
std::string DisplayArguments(const std::vector<std::string>& untrusted, Charset charset);

// The functions below take safe text.
std::size_t Columns(std::string_view safe);
// At most `columns`; what is too long loses its middle to "…" ("..." in ASCII).
std::string CutMiddle(std::string_view safe, std::size_t columns, Charset charset);
// Cut or padded with spaces to exactly `columns`.
std::string Fit(std::string_view safe, std::size_t columns, Charset charset);
// Rows of at most `columns` (≥ 2), without looking for words: nothing is added or left out.
std::vector<std::string> Wrap(std::string_view safe, std::size_t columns);

}  // namespace cellrun::watch
