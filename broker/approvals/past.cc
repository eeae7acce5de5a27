// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/past.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <utility>

namespace cellrun::approvals {
namespace {

using nlohmann::json;

constexpr std::uint64_t kLookedAt = 200'000;  // records
constexpr std::size_t kPageRows = 1000;
constexpr std::size_t kShown = 20;
constexpr std::string_view kRulePrefix = "remembered ";

Result<void> ForEach(journal::Reader& reader, const journal::Filter& filter,
                     const std::function<void(const journal::StoredRecord&, const json&)>& each) {
  const std::uint64_t last = TRY(reader.Last());
  std::uint64_t after = last > kLookedAt ? last - kLookedAt : 0;
  for (;;) {
    const auto page = TRY(reader.Page(filter, after, kPageRows));
    for (const journal::StoredRecord& stored : page) {
      const json record = json::parse(stored.json, nullptr, /*allow_exceptions=*/false);
      if (record.is_object()) each(stored, record);
    }
    if (page.size() < kPageRows) return {};
    after = page.back().seq;
  }
}

std::vector<std::string> Arguments(const json& record) {
  const auto found = record.find("argv");
  if (found == record.end() || !found->is_array()) return {};
  std::vector<std::string> argv;
  for (const json& item : *found) {
    if (item.is_string()) argv.push_back(item.get<std::string>());
  }
  return argv;
}

bool SameArguments(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  if (a.empty() || b.empty()) return a.size() == b.size();
  return std::equal(a.begin() + 1, a.end(), b.begin() + 1, b.end());
}

// The glob of the query is SQLite's.
std::string GlobOf(const std::string& path) {
  return path.find_first_of("*?[") == std::string::npos && path.size() < 1024 ? path : "";
}

}  // namespace

Result<Matches> FindMatches(journal::Reader& reader, const Ask& ask, Scope scope) {
  journal::Filter filter{.kinds = {"exec"}, .exe = GlobOf(ask.program)};
  if (scope == Scope::kCell) filter.cell = ask.cell_id;
  const auto& argv = ask.original_argv.empty() ? ask.argv : ask.original_argv;
  Matches matches;
  TRY(ForEach(reader, filter, [&](const journal::StoredRecord& stored, const json& record) {
    const bool own = record.value("cell", "") == ask.cell_id && record.value("pid", 0) == ask.pid;
    const bool there = scope == Scope::kAlways || record.value("cwd", "") == ask.cwd;
    if (own || !there || record.value("exe", "") != ask.program) return;
    std::vector<std::string> arguments = Arguments(record);
    if (!SameArguments(arguments, argv)) return;
    ++matches.total;
    matches.newest.push_back({stored.seq, record.value("time", ""), std::move(arguments)});
    if (matches.newest.size() > kShown) matches.newest.erase(matches.newest.begin());
  }));
  std::reverse(matches.newest.begin(), matches.newest.end());
  return matches;
}

Result<std::map<std::string, std::uint64_t>> CountUses(journal::Reader& reader) {
  std::map<std::string, std::uint64_t> uses;
  const journal::Filter filter{.kinds = {"exec"}, .text = std::string(kRulePrefix)};
  TRY(ForEach(reader, filter, [&](const journal::StoredRecord&, const json& record) {
    const auto rule = record.find("rule");
    if (rule == record.end() || !rule->is_object()) return;
    const std::string name = rule->value("name", "");
    if (name.starts_with(kRulePrefix)) ++uses[name.substr(kRulePrefix.size())];
  }));
  return uses;
}

}  // namespace cellrun::approvals
