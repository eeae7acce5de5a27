// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <variant>
#include <vector>

#include "launcher/approval_verbs.h"
#include "launcher/broker/broker_verbs.h"
#include "launcher/client/error_form.h"
#include "launcher/doctor/doctor.h"
#include "launcher/egress_verb.h"
#include "launcher/journal_verbs.h"
#include "launcher/options/arguments.h"
#include "launcher/options/help.h"
#include "launcher/output/rows.h"
#include "launcher/port_verb.h"
#include "launcher/profile/profile_verbs.h"
#include "launcher/request_verb.h"
#include "launcher/run/build.h"
#include "launcher/run_verb.h"
#include "launcher/text_verbs.h"
#include "launcher/tools/tools.h"
#include "lib/wire/launch.h"

namespace cellrun::launcher {
namespace {

using options::Arguments;
using options::OptionId;
using options::VerbId;

constexpr int kUsageError = 2;

int RunDoctor(const Arguments& arguments) {
  if (arguments.Has(OptionId::kAttackPlan)) {
    return doctor::AttackFromInside(arguments.Get(OptionId::kAttackPlan));
  }
  return doctor::Doctor({.self_test = !arguments.Has(OptionId::kNoSelfTest),
                         .output = arguments.Get(OptionId::kOutput, "table"),
                         .color = arguments.Get(OptionId::kColor, "auto")});
}

// No default: the compiler names a verb that nobody carries out.
int Dispatch(const Arguments& arguments) {
  const std::string output = arguments.Get(OptionId::kOutput, "table");
  const bool headers = !arguments.Has(OptionId::kNoHeaders);
  switch (arguments.verb->id) {
    case VerbId::kRun:
      return RunVerb(arguments);
    case VerbId::kPs:
      return broker::ListCells(output, headers);
    case VerbId::kHistory:
      return HistoryVerb(arguments);
    case VerbId::kRequest:
      return RequestVerb(arguments);
    case VerbId::kWhy:
      return WhyVerb(arguments);
    case VerbId::kApprovalsList:
      return ApprovalsListVerb(arguments);
    case VerbId::kApprovalsShow:
      return ApprovalsShowVerb(arguments);
    case VerbId::kApprovalsRules:
      return ApprovalsRulesVerb(arguments);
    case VerbId::kApprovalsReport:
      return ApprovalsReportVerb(arguments);
    case VerbId::kApprove:
      return ApproveVerb(arguments);
    case VerbId::kDeny:
      return DenyVerb(arguments);
    case VerbId::kEgressList:
    case VerbId::kEgressAdd:
    case VerbId::kEgressRemove:
    case VerbId::kEgressReload:
    case VerbId::kEgressBypass:
      return EgressVerb(arguments);
    case VerbId::kPort:
      return PortVerb(arguments);
    case VerbId::kApprovalsWatch:
      return ApprovalsWatchVerb(arguments);
    case VerbId::kAuditVerify:
      return AuditVerifyVerb(arguments);
    case VerbId::kAuditExport:
      return AuditExportVerb(arguments);
    case VerbId::kProfileList:
      return profile::List(output, headers);
    case VerbId::kProfileShow:
      return profile::Show(arguments.words[0], output);
    case VerbId::kProfileLint:
      return profile::Lint(arguments.words, output);
    case VerbId::kProfileTest:
      return profile::Test(arguments.words, output);
    case VerbId::kProfileSchema:
      return profile::Schema();
    case VerbId::kProfileImport:
      return profile::Import(arguments.words[0], arguments.words[1]);
    case VerbId::kToolAdd:
      return tools::Add({.cell = arguments.words[0],
                         .name = arguments.words[1],
                         .run = arguments.Get(OptionId::kToolRun, "ghost"),
                         .image = arguments.Get(OptionId::kImage),
                         .secrets = arguments.All(OptionId::kSecret),
                         .write = arguments.All(OptionId::kWrite),
                         .network = arguments.All(OptionId::kNetwork),
                         .limits = arguments.All(OptionId::kLimit)});
    case VerbId::kToolRemove:
      return tools::Remove(arguments.words[0],
                           {arguments.words.begin() + 1, arguments.words.end()});
    case VerbId::kToolList:
      return tools::List(arguments.words[0], output, headers);
    case VerbId::kDoctor:
      return RunDoctor(arguments);
    case VerbId::kBrokerStart:
      return broker::Start();
    case VerbId::kBrokerStop:
      return broker::Stop(arguments.Has(OptionId::kForce));
    case VerbId::kBrokerStatus:
      return broker::Status(output);
    case VerbId::kBrokerLogs:
      return broker::Logs(arguments.Has(OptionId::kFollow));
    case VerbId::kVersion:
      return VersionVerb(output);
    case VerbId::kCompletion:
      return CompletionVerb(arguments.words[0]);
    case VerbId::kHelp:
      return HelpVerb(arguments.words);
    case VerbId::kCount:
      break;
  }
  return kUsageError;
}

int Main(const std::vector<std::string>& words) {
  if (words.size() == 1 && words[0] == &wire::kBuildWord[0]) return BuildForBroker();
  auto outcome = options::Parse(words);
  if (const auto* error = std::get_if<options::UsageError>(&outcome)) {
    PrintError(*error);
    return kUsageError;
  }
  const Arguments& arguments = std::get<Arguments>(outcome);
  if (arguments.Has(OptionId::kVersion)) return VersionVerb("text");
  const bool full = arguments.Has(OptionId::kHelp);
  if (full || arguments.Has(OptionId::kShortHelp)) return HelpOption(arguments, full);
  return Dispatch(arguments);
}

}  // namespace
}  // namespace cellrun::launcher

// NOLINTNEXTLINE(bugprone-exception-escape): only for want of memory, and then it may abort
int main(int argc, char** argv) {
  return cellrun::launcher::Main(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
}
