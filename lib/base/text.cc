// SPDX-License-Identifier: Apache-2.0
#include "lib/base/text.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

namespace cellrun::text {
namespace {

struct Range {
  char32_t first, last;
};

// Unicode 15: what a terminal does not draw as itself. Cc, Cf, Zl, Zp, Zs but U+0020, Co, Cs, the
// invisible fillers and variation selectors (Default_Ignorable_Code_Point), and the planes without
// assigned characters.
constexpr std::array kHidden = {
    Range{0x0, 0x1f},         Range{0x7f, 0xa0},       Range{0xad, 0xad},
    Range{0x34f, 0x34f},      Range{0x600, 0x605},     Range{0x61c, 0x61c},
    Range{0x6dd, 0x6dd},      Range{0x70f, 0x70f},     Range{0x890, 0x891},
    Range{0x8e2, 0x8e2},      Range{0x115f, 0x1160},   Range{0x1680, 0x1680},
    Range{0x17b4, 0x17b5},    Range{0x180b, 0x180f},   Range{0x2000, 0x200f},
    Range{0x2028, 0x202f},    Range{0x205f, 0x206f},   Range{0x2800, 0x2800},
    Range{0x3000, 0x3000},    Range{0x3164, 0x3164},   Range{0xd800, 0xf8ff},
    Range{0xfe00, 0xfe0f},    Range{0xfeff, 0xfeff},   Range{0xffa0, 0xffa0},
    Range{0xfff0, 0xfffb},    Range{0xfffe, 0xffff},   Range{0x110bd, 0x110bd},
    Range{0x110cd, 0x110cd},  Range{0x13430, 0x1343f}, Range{0x1bca0, 0x1bca3},
    Range{0x1d173, 0x1d17a},  Range{0x1fffe, 0x1ffff}, Range{0x2fffe, 0x2ffff},
    Range{0x3fffe, 0x10ffff},
};

bool IsHidden(char32_t c) {
  const auto* range =
      std::lower_bound(kHidden.begin(), kHidden.end(), c,
                       [](const Range& r, char32_t value) { return r.last < value; });
  return range != kHidden.end() && c >= range->first;
}

struct Decoded {
  char32_t code;
  std::size_t length;  // bytes
};

// One character at the front of `bytes` (not empty), or nothing if the bytes there are not UTF-8.
std::optional<Decoded> Decode(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  if (lead < 0x80) return Decoded{lead, 1};
  const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || bytes.size() < length) return std::nullopt;
  auto code = static_cast<char32_t>(lead & (0xff >> (length + 1)));
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(bytes[i]);
    if ((next & 0xc0) != 0x80) return std::nullopt;
    code = (code << 6) | (next & 0x3f);
  }
  constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  if (code < kSmallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
    return std::nullopt;
  }
  return Decoded{code, length};
}

void AppendHex(std::string& out, const char* prefix, std::uint32_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string digits;
  do {
    digits.insert(digits.begin(), kDigits[value & 0xf]);
    value >>= 4;
  } while (value != 0);
  out.append(prefix).append(digits).append("}");
}

// Escapes the character at the front of `bytes` onto `out`; returns how many bytes it took.
std::size_t EscapeOne(std::string_view bytes, std::string& out) {
  const std::optional<Decoded> c = Decode(bytes);
  if (!c) {
    AppendHex(out, "\\x{", static_cast<unsigned char>(bytes[0]));
    return 1;
  }
  if (c->code == '\\') {
    out += "\\\\";
  } else if (IsHidden(c->code)) {
    AppendHex(out, "\\u{", c->code);
  } else {
    out.append(bytes.substr(0, c->length));
  }
  return c->length;
}

bool NeedsQuotes(std::string_view text) {
  return text.empty() || text.find_first_of(" \"'`$&|;<>()*?[]{}~#!\\") != std::string_view::npos;
}

}  // namespace

std::string Escape(std::string_view untrusted) {
  std::string out;
  out.reserve(untrusted.size());
  while (!untrusted.empty()) untrusted.remove_prefix(EscapeOne(untrusted, out));
  return out;
}

std::string Quote(std::string_view untrusted) {
  std::string escaped = Escape(untrusted);
  if (!NeedsQuotes(untrusted) && escaped == untrusted) return escaped;
  std::string out = "\"";
  for (char c : escaped) {
    if (c == '"') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string QuoteArguments(std::span<const std::string> untrusted) {
  std::string out;
  for (const std::string& argument : untrusted) {
    if (!out.empty()) out += ' ';
    out += Quote(argument);
  }
  return out;
}

std::string EscapeShort(std::string_view untrusted, std::size_t max_bytes) {
  constexpr std::string_view kCut = "…";
  std::string out;
  std::size_t room_for_cut = 0;  // the longest prefix behind which the mark still fits
  while (!untrusted.empty()) {
    untrusted.remove_prefix(EscapeOne(untrusted, out));
    if (out.size() > max_bytes) {
      out.resize(room_for_cut);
      return out.append(kCut);
    }
    if (out.size() + kCut.size() <= max_bytes) room_for_cut = out.size();
  }
  return out;
}

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const std::optional<Decoded> c = Decode(bytes);
    if (!c) return false;
    bytes.remove_prefix(c->length);
  }
  return true;
}

void AppendUtf8(std::string& out, char32_t c) {
  const auto byte = [&out](char32_t value) { out.push_back(static_cast<char>(value)); };
  if (c < 0x80) {
    byte(c);
  } else if (c < 0x800) {
    byte(0xc0 | (c >> 6));
    byte(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    byte(0xe0 | (c >> 12));
    byte(0x80 | ((c >> 6) & 0x3f));
    byte(0x80 | (c & 0x3f));
  } else {
    byte(0xf0 | (c >> 18));
    byte(0x80 | ((c >> 12) & 0x3f));
    byte(0x80 | ((c >> 6) & 0x3f));
    byte(0x80 | (c & 0x3f));
  }
}

}  // namespace cellrun::text
