// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/screen_text.h"

#include <algorithm>
#include <array>
#include <span>

#include "lib/base/text.h"

namespace cellrun::watch {
namespace {

struct Range {
  char32_t first, last;
};

// One column in every terminal: alphabets that are written from left to right, punctuation and
// lines, without combining characters (which hang on their neighbour).
constexpr std::array kNarrow = {
    Range{0x20, 0x7e},     Range{0xa1, 0xac},     Range{0xae, 0x2ff},    Range{0x370, 0x377},
    Range{0x37a, 0x37f},   Range{0x384, 0x38a},   Range{0x38c, 0x38c},   Range{0x38e, 0x3a1},
    Range{0x3a3, 0x482},   Range{0x48a, 0x52f},   Range{0x531, 0x556},   Range{0x561, 0x587},
    Range{0x1e00, 0x1f15}, Range{0x2010, 0x2027}, Range{0x2030, 0x205e}, Range{0x20a0, 0x20c0},
    Range{0x2190, 0x2199}, Range{0x2200, 0x22ff}, Range{0x2500, 0x257f},
};
// Two columns in every terminal.
constexpr std::array kWide = {
    Range{0x3001, 0x3029}, Range{0x3041, 0x3096}, Range{0x30a0, 0x30ff}, Range{0x3400, 0x4dbf},
    Range{0x4e00, 0x9fff}, Range{0xac00, 0xd7a3}, Range{0xff01, 0xff60},
};

bool IsIn(char32_t c, std::span<const Range> ranges) {
  return std::any_of(ranges.begin(), ranges.end(),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

// 0: not the same in every terminal.
std::size_t WidthOf(char32_t c) {
  if (c >= 0x20 && c < 0x7f) return 1;
  if (IsIn(c, kNarrow)) return 1;
  return IsIn(c, kWide) ? 2 : 0;
}

// The character at the front of valid UTF-8.
struct Character {
  char32_t code;
  std::size_t bytes;
};
Character First(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  auto code = static_cast<char32_t>(lead & (0xff >> (bytes + 1)));
  for (std::size_t i = 1; i < bytes && i < text.size(); ++i) {
    code = (code << 6) | (static_cast<unsigned char>(text[i]) & 0x3f);
  }
  return {code, std::min(bytes, text.size())};
}

std::string Hexadecimal(char32_t code) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  for (; code != 0; code >>= 4) digits.insert(digits.begin(), kDigits[code & 0xf]);
  return digits;
}

std::string EscapeUncertain(std::string escaped, Charset charset) {
  const bool all_ascii = std::all_of(escaped.begin(), escaped.end(),
                                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (all_ascii) return escaped;
  std::string safe;
  for (std::string_view rest = escaped; !rest.empty();) {
    const Character c = First(rest);
    const bool shown = c.code < 0x80 || (charset == Charset::kUtf8 && WidthOf(c.code) != 0);
    if (shown) {
      safe.append(rest.substr(0, c.bytes));
    } else {
      safe.append("\\u{").append(Hexadecimal(c.code)).append("}");
    }
    rest.remove_prefix(c.bytes);
  }
  return safe;
}

// The longest prefix of at most `columns`, in bytes.
std::size_t Prefix(std::string_view safe, std::size_t columns) {
  std::size_t bytes = 0;
  while (bytes < safe.size()) {
    const Character c = First(safe.substr(bytes));
    const std::size_t width = WidthOf(c.code);
    if (width > columns) break;
    columns -= width;
    bytes += c.bytes;
  }
  return bytes;
}

}  // namespace

std::string DisplaySafe(std::string_view untrusted, Charset charset) {
  return EscapeUncertain(text::Escape(untrusted), charset);
}

std::string DisplayQuoted(std::string_view untrusted, Charset charset) {
  const std::string quoted = text::Quote(untrusted);
  std::string safe = EscapeUncertain(quoted, charset);
  // What only the second step escaped has a backslash now, which text::Quote would have quoted.
  if (safe != quoted && !quoted.starts_with('"')) safe = '"' + safe + '"';
  return safe;
}

std::string DisplayArguments(const std::vector<std::string>& untrusted, Charset charset) {
  std::string safe;
  for (const std::string& argument : untrusted) {
    if (!safe.empty()) safe += ' ';
    safe += DisplayQuoted(argument, charset);
  }
  return safe;
}

std::size_t Columns(std::string_view safe) {
  std::size_t columns = 0;
  while (!safe.empty()) {
    const Character c = First(safe);
    columns += WidthOf(c.code);
    safe.remove_prefix(c.bytes);
  }
  return columns;
}

std::string CutMiddle(std::string_view safe, std::size_t columns, Charset charset) {
  // A prefix that already exceeds the room says enough: no need to measure megabytes.
  if (Prefix(safe, columns) == safe.size()) return std::string(safe);
  const std::string_view mark = charset == Charset::kUtf8 ? "…" : "...";
  const std::size_t mark_columns = charset == Charset::kUtf8 ? 1 : 3;
  if (columns <= mark_columns) return std::string(safe.substr(0, Prefix(safe, columns)));
  const std::size_t room = columns - mark_columns;
  const std::size_t head = Prefix(safe, room - room / 2);
  std::size_t tail = safe.size();
  for (std::size_t left = room / 2; tail > head;) {
    std::size_t start = tail - 1;
    while (start > head && (static_cast<unsigned char>(safe[start]) & 0xc0) == 0x80) --start;
    const std::size_t width = WidthOf(First(safe.substr(start)).code);
    if (width > left) break;
    left -= width;
    tail = start;
  }
  return std::string(safe.substr(0, head)).append(mark).append(safe.substr(tail));
}

std::string Fit(std::string_view safe, std::size_t columns, Charset charset) {
  std::string fitted = CutMiddle(safe, columns, charset);
  const std::size_t width = Columns(fitted);
  return width < columns ? fitted.append(columns - width, ' ') : fitted;
}

std::vector<std::string> Wrap(std::string_view safe, std::size_t columns) {
  std::vector<std::string> rows;
  columns = std::max<std::size_t>(columns, 2);
  do {
    const std::size_t bytes = Prefix(safe, columns);
    rows.emplace_back(safe.substr(0, bytes));
    safe.remove_prefix(bytes);
    if (bytes == 0) break;
  } while (!safe.empty());
  return rows;
}

}  // namespace cellrun::watch
