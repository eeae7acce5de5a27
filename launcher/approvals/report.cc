// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "launcher/approvals/ask_text.h"
#include "launcher/approvals/verbs.h"
#include "launcher/client/http.h"
#include "launcher/history/source.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"

namespace cellrun::approvals {
namespace {

using nlohmann::json;

struct Tally {
  std::uint64_t asked = 0, approved = 0, denied = 0, expired = 0, withdrawn = 0, mismatches = 0;
  std::vector<std::int64_t> thinking_ms;  // of those that a person answered
  [[nodiscard]] bool IsEmpty() const {
    return asked + approved + denied + expired + withdrawn + mismatches == 0;
  }
};

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string RuleOf(const json& record) {
  const auto rule = record.find("rule");
  if (rule == record.end() || !rule->is_object()) return "no rule";
  const std::string file = Text(*rule, "file");
  std::string text =
      file.substr(file.rfind('/') + 1) + ":" + std::to_string(rule->value("line", 0));
  if (const std::string name = Text(*rule, "name"); !name.empty()) text += " " + name;
  return text;
}

void Count(const json& record, Tally& tally) {
  const std::string result = Text(record, "result");
  const auto detail = record.find("detail");
  const bool object = detail != record.end() && detail->is_object();
  if (object && detail->contains("rule")) return;  // about a rule, not an ask
  if (result == "pending") ++tally.asked;
  if (result == "expired") ++tally.expired;
  if (result == "withdrawn") ++tally.withdrawn;
  if (result == "mismatch") ++tally.mismatches;
  const bool approved = result == "approved";
  // Not what a restart denied: nobody thought about that.
  const bool denied = result == "denied" && object && detail->contains("after_ms");
  if (approved) ++tally.approved;
  if (denied) ++tally.denied;
  if ((approved || denied) && object && detail->contains("after_ms")) {
    tally.thinking_ms.push_back(detail->value("after_ms", std::int64_t{0}));
  }
}

std::optional<std::int64_t> Median(std::vector<std::int64_t> values) {
  if (values.empty()) return std::nullopt;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

std::optional<double> Rate(const Tally& tally) {
  const std::uint64_t answered = tally.approved + tally.denied;
  if (answered == 0) return std::nullopt;
  return static_cast<double>(tally.approved) / static_cast<double>(answered);
}

json ObjectOf(const std::string& rule, const Tally& tally) {
  const auto rate = Rate(tally);
  const auto median = Median(tally.thinking_ms);
  return {{"rule", rule},
          {"asked", tally.asked},
          {"approved", tally.approved},
          {"denied", tally.denied},
          {"expired", tally.expired},
          {"withdrawn", tally.withdrawn},
          {"mismatches", tally.mismatches},
          {"approval_rate", rate ? json(*rate) : json()},
          {"median_thinking_ms", median ? json(*median) : json()}};
}

std::vector<std::string> RowOf(const std::string& rule, const Tally& tally) {
  const auto rate = Rate(tally);
  const auto median = Median(tally.thinking_ms);
  std::array<char, 16> percent{};
  if (rate) (void)std::snprintf(percent.data(), percent.size(), "%.0f %%", *rate * 100);
  std::array<char, 32> seconds{};
  if (median) {
    (void)std::snprintf(seconds.data(), seconds.size(), "%.1f s",
                        static_cast<double>(*median) / 1000);
  }
  return {
      text::Escape(rule),           std::to_string(tally.asked),   std::to_string(tally.approved),
      std::to_string(tally.denied), std::to_string(tally.expired), rate ? percent.data() : "-",
      median ? seconds.data() : "-"};
}

}  // namespace

int Report(const ReportOptions& options) {
  const history::Source source({.api_socket = options.api_socket,
                                .database = options.database,
                                .broker_program = options.broker_program});
  std::vector<std::pair<std::string, std::string>> query = {{"kind", "ask"}};
  if (!options.since.empty()) query.emplace_back("since", options.since);
  Tally all;
  std::map<std::string, Tally> by_rule;
  const auto outcome =
      source.Lines(client::Target("/v1/records", query), [&](std::string_view line) {
        const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
        if (!record.is_object() || record.contains("of")) return true;
        if (record.contains("detail") && record["detail"].contains("check")) return true;
        Count(record, all);
        if (!record.contains("detail") || !record["detail"].contains("rule")) {
          Count(record, by_rule[RuleOf(record)]);
        }
        return true;
      });
  if (outcome.error) return history::PrintOutcome(outcome);
  // Records that are about no ask: an answer that came too late, a rule.
  std::erase_if(by_rule, [](const auto& one) { return one.second.IsEmpty(); });
  const auto format = output::FormatFromName(options.output);
  if (format != output::Format::kTable) {
    json report = ObjectOf("", all);
    report.erase("rule");
    report["rules"] = json::array();
    for (const auto& [rule, tally] : by_rule) report["rules"].push_back(ObjectOf(rule, tally));
    return output::Print(output::Document(report, format)) ? 0 : 1;
  }
  std::vector<std::vector<std::string>> rows = {
      {"RULE", "ASKED", "APPROVED", "DENIED", "EXPIRED", "APPROVAL RATE", "MEDIAN THINKING TIME"}};
  for (const auto& [rule, tally] : by_rule) rows.push_back(RowOf(rule, tally));
  rows.push_back(RowOf("all", all));
  return output::Print(output::Table(rows, true)) ? 0 : 1;
}

}  // namespace cellrun::approvals
