// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/yaml_tree.h"

#include <algorithm>

namespace cellrun::policy {
namespace {

bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Takes digits off the front; how many.
std::size_t TakeDigits(std::string_view* text) {
  std::size_t count = 0;
  while (count < text->size() && IsDigit((*text)[count])) ++count;
  text->remove_prefix(count);
  return count;
}

bool OnlyFrom(std::string_view text, std::string_view allowed) {
  return !text.empty() && text.find_first_not_of(allowed) == std::string_view::npos;
}

bool IsInteger(std::string_view text) {
  if (text.starts_with("0o")) return OnlyFrom(text.substr(2), "01234567");
  if (text.starts_with("0x")) return OnlyFrom(text.substr(2), "0123456789abcdefABCDEF");
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return OnlyFrom(text, "0123456789");
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?
bool IsFloat(std::string_view text) {
  if (text == ".nan" || text == ".NaN" || text == ".NAN") return true;
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text == ".inf" || text == ".Inf" || text == ".INF") return true;
  std::size_t digits = TakeDigits(&text);
  if (text.starts_with('.')) {
    text.remove_prefix(1);
    digits += TakeDigits(&text);
  }
  if (digits == 0) return false;
  if (text.empty()) return true;
  if (text[0] != 'e' && text[0] != 'E') return false;
  text.remove_prefix(1);
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return TakeDigits(&text) > 0 && text.empty();
}

bool IsBoolean(std::string_view text) {
  return text == "true" || text == "True" || text == "TRUE" || text == "false" || text == "False" ||
         text == "FALSE";
}

}  // namespace

const YamlNode* YamlNode::Find(std::string_view key) const {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const YamlEntry& entry) { return entry.key == key; });
  return found == entries.end() ? nullptr : &found->value;
}

PlainMeaning MeaningOf(const YamlNode& scalar) {
  if (scalar.quoted || scalar.text.empty()) return PlainMeaning::kText;
  const char first = scalar.text[0];
  // Almost every scalar of a profile ends here.
  if (!IsDigit(first) && std::string_view("+-.tTfF").find(first) == std::string_view::npos) {
    return PlainMeaning::kText;
  }
  if (IsBoolean(scalar.text)) return PlainMeaning::kBoolean;
  if (IsInteger(scalar.text)) return PlainMeaning::kInteger;
  if (IsFloat(scalar.text)) return PlainMeaning::kFloat;
  return PlainMeaning::kText;
}

}  // namespace cellrun::policy
