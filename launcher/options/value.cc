// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/value.h"

#include <charconv>
#include <string>

#include "lib/policy/units.h"

namespace cellrun::options {
namespace {

// `digits` decimal digits at the start of `text`, which are removed; nothing if there are fewer.
std::optional<int> TakeDigits(std::string_view* text, std::size_t digits) {
  if (text->size() < digits) return std::nullopt;
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    const char c = (*text)[i];
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text->remove_prefix(digits);
  return value;
}

bool Take(std::string_view* text, std::string_view any_of) {
  if (text->empty() || any_of.find(text->front()) == std::string_view::npos) return false;
  text->remove_prefix(1);
  return true;
}

std::optional<std::chrono::seconds> TakeOffset(std::string_view* text) {
  if (Take(text, "Zz")) return std::chrono::seconds(0);
  if (text->empty()) return std::nullopt;
  const int sign = text->front() == '-' ? -1 : 1;
  if (!Take(text, "+-")) return std::nullopt;
  const auto hours = TakeDigits(text, 2);
  if (!hours || *hours > 23 || !Take(text, ":")) return std::nullopt;
  const auto minutes = TakeDigits(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  return sign * (std::chrono::hours(*hours) + std::chrono::minutes(*minutes));
}

std::optional<std::chrono::system_clock::time_point> ParseTimestamp(std::string_view text) {
  const auto year = TakeDigits(&text, 4);
  if (!year || !Take(&text, "-")) return std::nullopt;
  const auto month = TakeDigits(&text, 2);
  if (!month || !Take(&text, "-")) return std::nullopt;
  const auto day = TakeDigits(&text, 2);
  if (!day || !Take(&text, "Tt ")) return std::nullopt;
  const auto hour = TakeDigits(&text, 2);
  if (!hour || *hour > 23 || !Take(&text, ":")) return std::nullopt;
  const auto minute = TakeDigits(&text, 2);
  if (!minute || *minute > 59 || !Take(&text, ":")) return std::nullopt;
  const auto second = TakeDigits(&text, 2);
  if (!second || *second > 60) return std::nullopt;
  std::chrono::microseconds fraction(0);
  if (Take(&text, ".")) {
    int scale = 100000;
    const std::size_t before = text.size();
    while (const auto digit = TakeDigits(&text, 1)) {
      fraction += std::chrono::microseconds(*digit * scale);
      scale /= 10;
    }
    if (text.size() == before) return std::nullopt;
  }
  const auto offset = TakeOffset(&text);
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!offset || !text.empty() || !date.ok()) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second) + fraction - *offset;
}

}  // namespace

std::optional<unsigned long> ParseCount(std::string_view text) {
  unsigned long value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (value < 1 || value > 1000000000) return std::nullopt;
  return value;
}

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  const auto duration = policy::ParseDuration(text);
  return duration && duration->count() > 0 ? duration : std::nullopt;
}

std::optional<std::chrono::system_clock::time_point> ParseMoment(
    std::string_view text, std::chrono::system_clock::time_point now) {
  if (const auto age = ParseDuration(text)) return now - *age;
  return ParseTimestamp(text);
}

std::vector<std::string_view> SplitChoices(std::string_view choices) {
  std::vector<std::string_view> parts;
  while (!choices.empty()) {
    const std::size_t end = choices.find('|');
    parts.push_back(choices.substr(0, end));
    if (end == std::string_view::npos) break;
    choices.remove_prefix(end + 1);
  }
  return parts;
}

}  // namespace cellrun::options
