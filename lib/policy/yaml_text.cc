// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/yaml_text.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "lib/policy/symbol.h"

namespace cellrun::policy {
namespace {

// Words that some YAML reader takes for something else than a string.
constexpr std::array<std::string_view, 10> kWords = {"true", "false", "null", "yes", "no",
                                                     "on",   "off",   "nan",  "y",   "n"};

bool IsLetter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool IsPlain(std::string_view text) {
  const bool starts_well =
      !text.empty() && (IsLetter(text[0]) || text[0] == '/' || text.starts_with("./"));
  if (!starts_well) return false;
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (std::find(kWords.begin(), kWords.end(), lower) != kWords.end()) return false;
  return std::all_of(text.begin(), text.end(), [](char c) {
    return IsLetter(c) || (c >= '0' && c <= '9') ||
           std::string_view("_./+-").find(c) != std::string_view::npos;
  });
}

void AppendEscape(std::uint32_t code, std::string& out) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const int digits = code < 0x100 ? 2 : code < 0x10000 ? 4 : 8;
  out += digits == 2 ? "\\x" : digits == 4 ? "\\u" : "\\U";
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) out += kDigits[(code >> shift) & 0xf];
}

}  // namespace

std::string YamlScalar(std::string_view text) {
  if (IsPlain(text)) return std::string(text);
  std::string out = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const std::uint32_t symbol = NextSymbol(text, at);
    if (symbol >= kStrayByte) {
      out += '?';
    } else if (symbol == '"' || symbol == '\\') {
      out += '\\';
      out += static_cast<char>(symbol);
    } else if (symbol >= ' ' && symbol < 0x7f) {
      out += static_cast<char>(symbol);
    } else {
      AppendEscape(symbol, out);
    }
  }
  return out + "\"";
}

}  // namespace cellrun::policy
