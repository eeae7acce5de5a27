// SPDX-License-Identifier: Apache-2.0
#include "launcher/approval_verbs.h"

#include <array>
#include <chrono>
#include <ctime>

#include "launcher/approvals/verbs.h"
#include "launcher/client/error_form.h"
#include "launcher/options/value.h"
#include "lib/base/result.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

using options::Arguments;
using options::OptionId;

constexpr int kFailed = 1;
constexpr int kUsage = 2;

approvals::AnswerOptions AnswerOptionsOf(const Arguments& arguments) {
  approvals::AnswerOptions answer;
  answer.ids = arguments.words;
  answer.scope = arguments.Get(OptionId::kScope, "once");
  answer.for_time = options::ParseDuration(arguments.Get(OptionId::kFor));
  answer.reason = arguments.Get(OptionId::kReason);
  answer.widen = arguments.Has(OptionId::kWiden);
  answer.yes = arguments.Has(OptionId::kYes);
  return answer;
}

// As the API takes it; the parser has checked it.
std::string Since(const std::string& text) {
  const auto moment = options::ParseMoment(text, std::chrono::system_clock::now());
  if (text.empty() || !moment) return "";
  const std::time_t seconds = std::chrono::system_clock::to_time_t(*moment);
  std::tm parts{};
  (void)gmtime_r(&seconds, &parts);
  std::array<char, 32> out{};
  return {out.data(), std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%SZ", &parts)};
}

Result<approvals::ReportOptions> FindReport() {
  approvals::ReportOptions report;
  report.api_socket = TRY(wire::RuntimeDirectory()) + "/api.sock";
  report.database = TRY(wire::StateDirectory()) + "/journal.db";
  report.broker_program = TRY(wire::LibexecPath("cellrun-broker"));
  return report;
}

}  // namespace

int ApprovalsListVerb(const Arguments& arguments) {
  approvals::ListOptions list;
  list.states = arguments.All(OptionId::kState);
  if (!arguments.words.empty()) list.cell = arguments.words[0];
  list.limit = options::ParseCount(arguments.Get(OptionId::kRecordLimit)).value_or(0);
  list.follow = arguments.Has(OptionId::kFollow);
  list.headers = !arguments.Has(OptionId::kNoHeaders);
  list.output = arguments.Get(OptionId::kOutput, "table");
  return approvals::List(list);
}

int ApprovalsShowVerb(const Arguments& arguments) {
  return approvals::Show(arguments.words[0], arguments.Get(OptionId::kOutput, "table"));
}

int ApprovalsRulesVerb(const Arguments& arguments) {
  const auto& words = arguments.words;
  if (words.empty()) {
    return approvals::ListRules(arguments.Get(OptionId::kOutput, "table"),
                                !arguments.Has(OptionId::kNoHeaders));
  }
  if (words[0] != "rm" || words.size() < 2) {
    PrintError({words[0] == "rm" ? "which rule is to be removed?" : "rm ID… is expected", "",
                "cellrun approvals rules rm ID"});
    return kUsage;
  }
  return approvals::RemoveRules({words.begin() + 1, words.end()});
}

int ApprovalsReportVerb(const Arguments& arguments) {
  auto report = FindReport();
  if (!report.ok()) {
    PrintError({"cannot find the journal", report.error().ToString(), "cellrun doctor"});
    return kFailed;
  }
  report->since = Since(arguments.Get(OptionId::kSince));
  report->output = arguments.Get(OptionId::kOutput, "table");
  return approvals::Report(*report);
}

int ApproveVerb(const Arguments& arguments) {
  approvals::AnswerOptions answer = AnswerOptionsOf(arguments);
  answer.approve = true;
  answer.edit = arguments.Has(OptionId::kEdit);
  answer.argv = arguments.Get(OptionId::kArgv);
  return approvals::Answer(answer);
}

int DenyVerb(const Arguments& arguments) {
  approvals::AnswerOptions answer = AnswerOptionsOf(arguments);
  if (arguments.Has(OptionId::kRemember) && !arguments.Has(OptionId::kScope)) {
    answer.scope = "project";
  }
  return approvals::Answer(answer);
}

}  // namespace cellrun::launcher
