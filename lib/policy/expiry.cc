// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/expiry.h"

namespace cellrun::policy {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

// Takes exactly `digits` decimal digits from the front.
std::optional<int> TakeNumber(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (const char c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

bool Take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<int> TakeUpTo(std::string_view& text, int highest) {
  const std::optional<int> value = TakeNumber(text, 2);
  return value && *value <= highest ? value : std::nullopt;
}

std::optional<std::chrono::sys_days> TakeDate(std::string_view& text) {
  const std::optional<int> year = TakeNumber(text, 4);
  if (!year || !Take(text, "-")) return std::nullopt;
  const std::optional<int> month = TakeNumber(text, 2);
  if (!month || !Take(text, "-")) return std::nullopt;
  const std::optional<int> day = TakeNumber(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

// "HH:MM:SS", a fraction is dropped; a leap second counts as the next one.
std::optional<seconds> TakeClock(std::string_view& text) {
  const std::optional<int> hour = TakeUpTo(text, 23);
  if (!hour || !Take(text, ":")) return std::nullopt;
  const std::optional<int> minute = TakeUpTo(text, 59);
  if (!minute || !Take(text, ":")) return std::nullopt;
  const std::optional<int> second = TakeUpTo(text, 60);
  if (!second) return std::nullopt;
  if (Take(text, ".")) {
    if (!TakeNumber(text, 1)) return std::nullopt;
    while (TakeNumber(text, 1)) {
    }
  }
  return hours(*hour) + minutes(*minute) + seconds(*second);
}

std::optional<seconds> TakeZone(std::string_view& text) {
  if (Take(text, "Zz")) return seconds(0);
  const bool east = text.starts_with('+');
  if (!Take(text, "+-")) return std::nullopt;
  const std::optional<int> hour = TakeUpTo(text, 23);
  if (!hour || !Take(text, ":")) return std::nullopt;
  const std::optional<int> minute = TakeUpTo(text, 59);
  if (!minute) return std::nullopt;
  const seconds offset = hours(*hour) + minutes(*minute);
  return east ? offset : -offset;
}

}  // namespace

std::optional<Time> ParseExpiry(std::string_view text) {
  const std::optional<std::chrono::sys_days> date = TakeDate(text);
  if (!date) return std::nullopt;
  if (text.empty()) return Time(*date);
  if (!Take(text, "Tt ")) return std::nullopt;
  const std::optional<seconds> clock = TakeClock(text);
  if (!clock) return std::nullopt;
  const std::optional<seconds> zone = TakeZone(text);
  if (!zone || !text.empty()) return std::nullopt;
  return Time(*date) + *clock - *zone;
}

}  // namespace cellrun::policy
