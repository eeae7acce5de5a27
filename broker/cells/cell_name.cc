// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_name.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "lib/sys/random.h"

namespace cellrun::cells {
namespace {

constexpr std::array kFirst = {
    "amber",  "bold",   "brave", "brisk",  "calm",  "clear", "cool",   "crisp", "dapper",
    "deft",   "eager",  "early", "fair",   "fleet", "fond",  "frank",  "fresh", "gentle",
    "glad",   "golden", "grand", "green",  "happy", "hardy", "keen",   "kind",  "light",
    "lively", "loyal",  "lucky", "mellow", "merry", "mild",  "neat",   "noble", "plain",
    "proud",  "quick",  "quiet", "ready",  "royal", "sharp", "silent", "sober", "solid",
    "still",  "sunny",  "swift", "tidy",   "true",  "vivid", "warm",   "wise",  "witty"};
constexpr std::array kSecond = {
    "badger", "beaver",  "bison",  "crane",  "deer",   "dove",  "eagle",   "egret",  "falcon",
    "ferret", "finch",   "fox",    "gecko",  "goose",  "hare",  "hawk",    "heron",  "ibex",
    "jackal", "kestrel", "koala",  "lark",   "lemur",  "lynx",  "magpie",  "marten", "mole",
    "moose",  "newt",    "ocelot", "orca",   "osprey", "otter", "owl",     "panda",  "petrel",
    "puffin", "quail",   "raven",  "robin",  "seal",   "shrew", "sparrow", "stoat",  "swan",
    "tapir",  "tern",    "toad",   "turtle", "viper",  "vole",  "walrus",  "weasel", "wren"};

std::size_t RandomIndex(std::size_t count) {
  const std::string hex = sys::RandomHex(4);
  std::uint32_t number = 0;
  std::from_chars(hex.data(), hex.data() + hex.size(), number, 16);
  return number % count;
}

}  // namespace

bool IsCellName(std::string_view name) {
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && name.size() <= 63 && is_letter(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_letter(c) || (c >= '0' && c <= '9') || c == '-'; });
}

std::string PickCellName(const std::function<bool(const std::string&)>& taken) {
  for (int attempt = 0;; ++attempt) {
    std::string name = std::string(kFirst[RandomIndex(kFirst.size())]) + "-" +
                       kSecond[RandomIndex(kSecond.size())];
    if (attempt >= 8) name += "-" + sys::RandomHex(2);
    if (!taken(name)) return name;
  }
}

}  // namespace cellrun::cells
