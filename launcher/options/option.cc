// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "launcher/options/verb.h"

namespace cellrun::options {
namespace {

constexpr VerbMask kRun = In(VerbId::kRun);
constexpr VerbMask kHistory = In(VerbId::kHistory);
constexpr VerbMask kExport = In(VerbId::kAuditExport);
constexpr VerbMask kVerify = In(VerbId::kAuditVerify);
constexpr VerbMask kAll = (VerbMask{1} << static_cast<unsigned>(VerbId::kCount)) - 1;
// How verbs print: rows with names, one object, rows that may follow each other, a text.
constexpr VerbMask kNamedRows = In(VerbId::kPs) | In(VerbId::kProfileList) |
                                In(VerbId::kApprovalsList) | In(VerbId::kApprovalsRules) |
                                In(VerbId::kToolList);
constexpr VerbMask kObject = In(VerbId::kEgressList) | In(VerbId::kPort) |
                             In(VerbId::kProfileLint) | In(VerbId::kProfileTest) |
                             In(VerbId::kDoctor) | In(VerbId::kBrokerStatus) |
                             In(VerbId::kApprovalsShow) | In(VerbId::kApprovalsReport);
constexpr VerbMask kReport = In(VerbId::kWhy) | kVerify;
constexpr VerbMask kAskList = In(VerbId::kApprovalsList);
constexpr VerbMask kApproveDeny = In(VerbId::kApprove) | In(VerbId::kDeny);
constexpr VerbMask kToolAdd = In(VerbId::kToolAdd);
constexpr VerbMask kText = In(VerbId::kProfileShow) | In(VerbId::kVersion);

constexpr std::array kOptions = {
    Option{OptionId::kProfile, "--profile", 'p', ValueKind::kProfile, "NAME|FILE", "", false,
           Support::kNow, kRun | In(VerbId::kWhy),
           "the profile; default: the project's, else strict"},
    Option{OptionId::kWorkspace, "--workspace", 'w', ValueKind::kDirectory, "DIR", "", false,
           Support::kNow, kRun | In(VerbId::kWhy),
           "the directory to work on; default: the enclosing git repository, else the current "
           "directory"},
    Option{OptionId::kName, "--name", '\0', ValueKind::kText, "NAME", "", false, Support::kNow,
           kRun, "what to call the cell; default: two words"},
    Option{OptionId::kEnvironment, "--env", 'e', ValueKind::kAssignment, "NAME[=VALUE]", "", true,
           Support::kNow, kRun, "set a variable in the cell, or let the caller's through"},
    Option{OptionId::kRead, "--read", '\0', ValueKind::kPath, "PATH", "", true, Support::kNow, kRun,
           "let the cell read PATH"},
    Option{OptionId::kWrite, "--write", '\0', ValueKind::kPath, "PATH", "", true, Support::kNow,
           kRun, "let the cell read and write PATH"},
    Option{OptionId::kObserve, "--observe", '\0', ValueKind::kFlag, "", "", false, Support::kNow,
           kRun, "deny nothing that the floor does not deny; record what would have been denied"},
    Option{OptionId::kTerminal, "--tty", '\0', ValueKind::kChoice, "WHEN", "auto|yes|no|raw", false,
           Support::kNow, kRun,
           "give the command a terminal of its own; raw passes its output through unfiltered"},
    Option{OptionId::kReport, "--report", '\0', ValueKind::kPath, "FILE", "", false, Support::kNow,
           kRun, "write a JSON report: counts of verdicts, denials, changed files"},
    Option{OptionId::kTime, "--time", '\0', ValueKind::kDuration, "DURATION", "", false,
           Support::kNow, kRun, "end the cell after 30s, 5m, 2h, …; exit status 124"},
    Option{OptionId::kBackend, "--backend", '\0', ValueKind::kChoice, "BACKEND", "native|docker",
           false, Support::kLater, kRun, "where the cell lives; only native in this release"},
    Option{OptionId::kImage, "--image", '\0', ValueKind::kText, "IMAGE", "", false, Support::kLater,
           kRun, "a container image"},
    Option{OptionId::kDetach, "--detach", 'd', ValueKind::kFlag, "", "", false, Support::kLater,
           kRun, "leave the cell running in the background"},
    Option{OptionId::kNetwork, "--net", '\0', ValueKind::kDestination, "HOST[:PORT]", "", true,
           Support::kNow, kRun,
           "let the cell reach a name, an address or a group, as `to` of a network rule names it"},
    Option{OptionId::kPublish, "--publish", '\0', ValueKind::kPublish, "[[ADDRESS:]HOST:]PORT", "",
           true, Support::kNow, kRun,
           "publish a port of the cell on this host's loopback, or on ADDRESS"},
    Option{OptionId::kMemory, "--memory", '\0', ValueKind::kText, "SIZE", "", false,
           Support::kLater, kRun, "limit memory"},

    Option{OptionId::kKind, "--kind", '\0', ValueKind::kChoice, "KIND",
           "exec|connect|syscall|ask|cell|file", true, Support::kNow, kHistory,
           "only records of this kind"},
    Option{OptionId::kVerdict, "--verdict", '\0', ValueKind::kChoice, "VERDICT", "allow|ask|deny",
           true, Support::kNow, kHistory, "only records with this verdict"},
    Option{OptionId::kAsks, "--asks", '\0', ValueKind::kFlag, "", "", false, Support::kNow,
           kHistory, "only what was asked of a person and what was answered: --kind ask"},
    Option{OptionId::kProgram, "--exe", '\0', ValueKind::kText, "GLOB", "", false, Support::kNow,
           kHistory, "only records of programs with this path, or name if it has no slash"},
    Option{OptionId::kText, "--text", '\0', ValueKind::kText, "TEXT", "", false, Support::kNow,
           kHistory, "only records with TEXT in some field"},
    Option{OptionId::kSince, "--since", '\0', ValueKind::kMoment, "TIME", "", false, Support::kNow,
           kHistory | kExport | In(VerbId::kApprovalsReport),
           "only records from TIME on: RFC 3339, or 10m for ten minutes ago"},
    Option{OptionId::kUntil, "--until", '\0', ValueKind::kMoment, "TIME", "", false, Support::kNow,
           kHistory | kExport, "only records before TIME"},
    Option{OptionId::kRecordLimit, "--limit", '\0', ValueKind::kCount, "N", "", false,
           Support::kNow, kHistory | kAskList,
           "at most N, the newest; default of history: 100 in a table"},
    Option{OptionId::kFollow, "--follow", 'f', ValueKind::kFlag, "", "", false, Support::kNow,
           kHistory | kAskList | In(VerbId::kBrokerLogs),
           "go on with what is added, until interrupted"},
    Option{OptionId::kExportFormat, "--format", '\0', ValueKind::kChoice, "FORMAT", "jsonl|ocsf",
           false, Support::kNow, kExport, "form of the records; default jsonl"},
    Option{OptionId::kDatabase, "--file", '\0', ValueKind::kPath, "FILE", "", false, Support::kNow,
           kVerify | kExport, "a copy of the journal; default: the journal itself"},
    Option{OptionId::kHead, "--head", '\0', ValueKind::kText, "SEQ:HASH", "", false, Support::kNow,
           kVerify, "a record kept elsewhere, which must be in the chain"},

    Option{OptionId::kState, "--state", '\0', ValueKind::kChoice, "STATE",
           "pending|approved|denied|expired|withdrawn|all", true, Support::kNow, kAskList,
           "only asks in this state; default pending"},
    Option{OptionId::kScope, "--scope", '\0', ValueKind::kChoice, "SCOPE",
           "once|cell|project|always", false, Support::kNow, kApproveDeny,
           "what the answer is for; above once it is stored as a rule; default once"},
    Option{OptionId::kFor, "--for", '\0', ValueKind::kDuration, "DURATION", "", false,
           Support::kNow, kApproveDeny | In(VerbId::kEgressAdd),
           "how long the rule counts: 10m, 2h, 7d; an answer's 30d by default"},
    Option{OptionId::kReason, "--reason", '\0', ValueKind::kText, "TEXT", "", false, Support::kNow,
           kApproveDeny | In(VerbId::kRequest), "why; a denial's reason is told to the caller"},
    Option{OptionId::kEdit, "--edit", '\0', ValueKind::kFlag, "", "", false, Support::kNow,
           In(VerbId::kApprove), "change the arguments in $EDITOR first, as a JSON array"},
    Option{OptionId::kArgv, "--argv", '\0', ValueKind::kText, "JSON", "", false, Support::kNow,
           In(VerbId::kApprove), "run these arguments instead: [\"git\", \"push\", \"-n\"]"},
    Option{OptionId::kWiden, "--widen", '\0', ValueKind::kFlag, "", "", false, Support::kNow,
           kApproveDeny, "the rule does not pin the program's hash: updates of it count too"},
    Option{OptionId::kRemember, "--remember", '\0', ValueKind::kFlag, "", "", false, Support::kNow,
           In(VerbId::kDeny), "the same as --scope project"},
    Option{OptionId::kYes, "--yes", 'y', ValueKind::kFlag, "", "", false, Support::kNow,
           kApproveDeny, "store the rule without asking"},

    Option{OptionId::kToolRun, "--run", '\0', ValueKind::kChoice, "WHERE", "ghost|mirror", false,
           Support::kNow, kToolAdd, "where the tool runs; default ghost"},
    Option{OptionId::kImage, "--image", '\0', ValueKind::kDirectory, "DIR", "", false,
           Support::kNow, kToolAdd,
           "the root file system that the tool runs in; default: that of the cell"},
    Option{OptionId::kSecret, "--secret", '\0', ValueKind::kText, "NAME", "", true, Support::kNow,
           kToolAdd, "give the tool a secret of the cell's profile"},
    Option{OptionId::kWrite, "--write", '\0', ValueKind::kPath, "PATH", "", true, Support::kNow,
           kToolAdd, "let the tool read and write PATH"},
    Option{OptionId::kNetwork, "--net", '\0', ValueKind::kText, "HOST[:PORT]", "", true,
           Support::kNow, kToolAdd,
           "let the tool reach a destination: over TCP, or UDP with HOST:PORT/udp"},
    Option{OptionId::kLimit, "--limit", '\0', ValueKind::kAssignment, "NAME=VALUE", "", true,
           Support::kNow, kToolAdd, "bound the tool: processes=64, files=256, time=5m"},

    Option{OptionId::kOutput, "--output", 'o', ValueKind::kChoice, "FORMAT",
           "table|json|jsonl|yaml|name", false, Support::kNow, kNamedRows,
           "form of the output; default table"},
    Option{OptionId::kOutput, "--output", 'o', ValueKind::kChoice, "FORMAT", "table|json|jsonl",
           false, Support::kNow, kHistory, "form of the output; default table"},
    Option{OptionId::kOutput, "--output", 'o', ValueKind::kChoice, "FORMAT",
           "table|json|jsonl|yaml", false, Support::kNow, kObject,
           "form of the output; default table"},
    Option{OptionId::kOutput, "--output", 'o', ValueKind::kChoice, "FORMAT", "table|json", false,
           Support::kNow, kReport, "form of the output; default table"},
    Option{OptionId::kOutput, "--output", 'o', ValueKind::kChoice, "FORMAT", "text|json", false,
           Support::kNow, kText, "form of the output; default text"},
    Option{OptionId::kNoHeaders, "--no-headers", '\0', ValueKind::kFlag, "", "", false,
           Support::kNow, kNamedRows | kHistory, "a table without its first line"},
    Option{OptionId::kColor, "--color", '\0', ValueKind::kChoice, "WHEN", "auto|always|never",
           false, Support::kNow,
           kHistory | In(VerbId::kWhy) | In(VerbId::kDoctor) | In(VerbId::kApprovalsWatch),
           "colour; default: on a terminal, unless NO_COLOR is set"},
    Option{OptionId::kForce, "--force", '\0', ValueKind::kFlag, "", "", false, Support::kNow,
           In(VerbId::kBrokerStop), "end the cells that still run"},
    Option{OptionId::kNoSelfTest, "--no-self-test", '\0', ValueKind::kFlag, "", "", false,
           Support::kNow, In(VerbId::kDoctor), "only look; start no cell"},
    Option{OptionId::kAttackPlan, "--attack-plan", '\0', ValueKind::kPath, "FILE", "", false,
           Support::kHidden, In(VerbId::kDoctor), "run the attacks, inside the cell"},
    Option{OptionId::kVersion, "--version", '\0', ValueKind::kFlag, "", "", false, Support::kNow,
           kRun, "print the version"},
    Option{OptionId::kShortHelp, "", 'h', ValueKind::kFlag, "", "", false, Support::kNow, kAll,
           "print the options"},
    Option{OptionId::kHelp, "--help", '\0', ValueKind::kFlag, "", "", false, Support::kNow, kAll,
           "print everything about the verb"},
};

}  // namespace

std::span<const Option> AllOptions() {
  return kOptions;
}

}  // namespace cellrun::options
