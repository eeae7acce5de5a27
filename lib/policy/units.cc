// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/units.h"

#include <array>
#include <charconv>

namespace cellrun::policy {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
// Largest first: formatting takes the first that divides.
constexpr std::array<Unit, 5> kDurations{
    {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}}};
constexpr std::array<Unit, 5> kSizes{
    {{"T", 1ULL << 40}, {"G", 1ULL << 30}, {"M", 1ULL << 20}, {"K", 1ULL << 10}, {"", 1}}};
constexpr std::uint64_t kLongestMs = 3650ULL * 86'400'000;
constexpr std::uint64_t kLargestBytes = 1ULL << 60;

template <std::size_t N>
std::optional<std::uint64_t> Parse(std::string_view text, const std::array<Unit, N>& units,
                                   std::uint64_t largest) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view name(rest, static_cast<std::size_t>(end - rest));
  for (const Unit& unit : units) {
    if (unit.name != name) continue;
    if (number > largest / unit.factor) return std::nullopt;
    return number * unit.factor;
  }
  return std::nullopt;
}

template <std::size_t N>
std::string Format(std::uint64_t amount, const std::array<Unit, N>& units) {
  for (const Unit& unit : units) {
    if (amount >= unit.factor && amount % unit.factor == 0) {
      return std::to_string(amount / unit.factor) + std::string(unit.name);
    }
  }
  return "0" + std::string(units.back().name);
}

}  // namespace

std::optional<std::chrono::milliseconds> ParseDuration(std::string_view text) {
  const std::optional<std::uint64_t> amount = Parse(text, kDurations, kLongestMs);
  if (!amount) return std::nullopt;
  return std::chrono::milliseconds(*amount);
}

std::string FormatDuration(std::chrono::milliseconds duration) {
  return Format(static_cast<std::uint64_t>(duration.count()), kDurations);
}

std::optional<std::uint64_t> ParseSize(std::string_view text) {
  return Parse(text, kSizes, kLargestBytes);
}

std::string FormatSize(std::uint64_t bytes) {
  return Format(bytes, kSizes);
}

}  // namespace cellrun::policy
