// SPDX-License-Identifier: Apache-2.0
#include "launcher/doctor/doctor.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "launcher/client/error_form.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"
#include "lib/base/version.h"

namespace cellrun::doctor {
namespace {

using nlohmann::json;

constexpr char kRed[] = "\x1b[31m";
constexpr char kYellow[] = "\x1b[33m";
constexpr char kGreen[] = "\x1b[32m";
constexpr char kPlain[] = "\x1b[0m";

// The word stays what it is without colour.
std::string Paint(const std::string& word, const char* color, bool use) {
  return use ? color + word + kPlain : word;
}

std::string FindingLine(const Finding& finding, std::size_t width, bool color) {
  std::string mark = "ok     ";
  const char* paint = kGreen;
  if (finding.state == State::kNotNeeded) mark = "-      ";
  if (finding.state == State::kUnknown) {
    mark = "?      ";
    paint = kYellow;
  }
  if (finding.state == State::kMissing) {
    const bool required = finding.need == Need::kRequired;
    mark = required ? "MISSING" : finding.need == Need::kRecommended ? "missing" : "no     ";
    paint = required ? kRed : kYellow;
  }
  std::string line = "  " + Paint(mark, paint, color) + "  " + finding.name;
  if (!finding.detail.empty()) {
    line += std::string(width - finding.name.size() + 2, ' ') + text::Escape(finding.detail);
  }
  line += "\n";
  if (finding.state == State::kMissing) {
    line += "           costs: " + finding.cost + "\n";
    if (!finding.fix.empty()) line += "           try:   " + finding.fix + "\n";
  }
  return line;
}

std::string FindingsText(const std::vector<Finding>& findings, bool color) {
  std::size_t width = 0;
  for (const Finding& finding : findings) width = std::max(width, finding.name.size());
  std::string text;
  std::string group;
  for (const Finding& finding : findings) {
    if (finding.group != group) text += (text.empty() ? "" : "\n") + finding.group + "\n";
    group = finding.group;
    text += FindingLine(finding, width, color);
  }
  return text;
}

// Escaped, but for its line breaks.
std::string Indented(std::string_view lines) {
  std::string text;
  while (true) {
    const std::size_t end = lines.find('\n');
    text += text::Escape(lines.substr(0, end));
    if (end == std::string_view::npos) return text;
    text += "\n             ";
    lines.remove_prefix(end + 1);
  }
}

std::string SelfTestText(const SelfTest& test, bool color) {
  std::string text = "\nself-test: attacks from inside a cell under the profile strict\n";
  for (const AttackReport& attack : test.attacks) {
    std::string mark = OutcomeName(attack.outcome);
    mark.resize(9, ' ');
    const char* paint = attack.outcome == Outcome::kHeld     ? kGreen
                        : attack.outcome == Outcome::kBroken ? kRed
                                                             : kYellow;
    text += "  " + Paint(mark, paint, color) + "  " + attack.what;
    if (!attack.detail.empty()) text += "  (" + attack.detail + ")";
    text += "\n";
  }
  if (!test.problem.empty()) {
    text += "  " + Paint("FAILED", kRed, color) + "     " + Indented(test.problem) + "\n";
  }
  return text;
}

std::string Conclusion(const std::vector<Finding>& findings, const SelfTest* test) {
  if (IsSound(findings, test)) {
    return test == nullptr ? "\nNothing required is missing.\n" : "\nCells hold here.\n";
  }
  return "\nCells do not hold, or do not start, here.\n";
}

}  // namespace

bool IsSound(const std::vector<Finding>& findings, const SelfTest* test) {
  const bool missing = std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.need == Need::kRequired && finding.state == State::kMissing;
  });
  if (missing || test == nullptr) return !missing;
  return test->problem.empty() &&
         std::none_of(test->attacks.begin(), test->attacks.end(), [](const AttackReport& attack) {
           return attack.outcome == Outcome::kBroken;
         });
}

json ToJson(const std::vector<Finding>& findings, const SelfTest* test) {
  json features = json::array();
  for (const Finding& finding : findings) {
    features.push_back({{"group", finding.group},
                        {"name", finding.name},
                        {"need", NeedName(finding.need)},
                        {"state", StateName(finding.state)},
                        {"detail", finding.detail},
                        {"cost", finding.cost},
                        {"fix", finding.fix}});
  }
  json self_test = nullptr;
  if (test != nullptr) {
    json attacks = json::array();
    for (const AttackReport& attack : test->attacks) {
      attacks.push_back({{"name", attack.name},
                         {"what", attack.what},
                         {"outcome", OutcomeName(attack.outcome)},
                         {"detail", attack.detail}});
    }
    self_test = {{"ran", test->problem.empty()}, {"problem", test->problem}, {"attacks", attacks}};
  }
  return {{"cellrun", kVersion},
          {"build", kBuildId},
          {"ok", IsSound(findings, test)},
          {"features", features},
          {"self_test", self_test}};
}

int Doctor(const DoctorOptions& options) {
  const std::vector<Finding> findings = LookAtEverything();
  const bool color = output::UseColor(options.color);
  const output::Format format = output::FormatFromName(options.output);
  const bool table = format == output::Format::kTable;
  // What is known already, before the cell takes its time.
  if (table && !output::Print(FindingsText(findings, color))) return 1;
  std::optional<SelfTest> test;
  if (options.self_test) test = AttackThrowAwayCell();
  const SelfTest* const shown = test ? &*test : nullptr;
  const std::string text =
      table ? (shown != nullptr ? SelfTestText(*shown, color) : "") + Conclusion(findings, shown)
            : output::Document(ToJson(findings, shown), format);
  const bool printed = output::Print(text);
  return printed && IsSound(findings, shown) ? 0 : 1;
}

}  // namespace cellrun::doctor
