// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/verb.h"

#include <algorithm>
#include <array>
#include <string>

#include "lib/base/check.h"

namespace cellrun::options {
namespace {

constexpr std::array kRunExamples = {
    Example{"cellrun npm test", "run npm test in a cell under the project's profile, else strict"},
    Example{"cellrun -p standard -w ~/src/app -- bash -i", "an interactive shell in a cell"},
    Example{"cellrun --observe --report report.json make -j2",
            "deny nothing but what the floor denies, and write down what would have been denied"},
    Example{"cellrun --env CI=1 --read ~/.gitconfig -- git log",
            "let one variable and one file into the cell"},
    Example{"cellrun -- doctor", "run a command that has the name of a verb"},
};
constexpr std::array kPsExamples = {
    Example{"cellrun ps", "the cells that run now"},
    Example{"cellrun ps -o name", "their names, one a line"},
};
constexpr std::array kHistoryExamples = {
    Example{"cellrun history --verdict deny --since 1h", "what was denied in the last hour"},
    Example{"cellrun history -f quiet-otter", "follow one cell"},
    Example{"cellrun history -o jsonl --limit 1000", "records for a program, one a line"},
};
constexpr std::array kRequestExamples = {
    Example{"cellrun request --reason 'the tests need it' -- make install",
            "ask a person to let make install run"},
};
constexpr std::array kWhyExamples = {
    Example{"cellrun why 4711", "which rule decided record 4711"},
    Example{"cellrun why -- git push origin main", "what would happen, without running anything"},
    Example{"cellrun why", "in a cell: what was denied last"},
};
constexpr std::array kApprovalsListExamples = {
    Example{"cellrun approvals", "what waits for an answer"},
    Example{"cellrun approvals list --state all --limit 20",
            "the last 20 asks, whatever came of them"},
    Example{"cellrun approvals list -f -o jsonl", "every ask that comes or changes, for a program"},
};
constexpr std::array kApprovalsShowExamples = {
    Example{"cellrun approvals show 7f3a", "everything that the answer to 7f3a91c2 is about"},
};
constexpr std::array kApprovalsRulesExamples = {
    Example{"cellrun approvals rules", "the answers that were remembered, as rules"},
    Example{"cellrun approvals rules rm 5b20", "take one back; cells that run ask again at once"},
};
constexpr std::array kApprovalsReportExamples = {
    Example{"cellrun approvals report --since 7d",
            "how often what was approved this week, and how long people thought"},
};
constexpr std::array kApproveExamples = {
    Example{"cellrun approve 7f3a", "let exactly this command run, once"},
    Example{"cellrun approve 7f3a --scope project --for 2h",
            "and again in this project for 2 hours"},
    Example{"cellrun approve 7f3a --edit", "change its arguments first"},
};
constexpr std::array kDenyExamples = {
    Example{"cellrun deny 7f3a --reason 'push to a branch'", "the reason reaches the caller"},
};
constexpr std::array kApprovalsWatchExamples = {
    Example{"cellrun approvals watch", "answer what cells ask, on the whole screen"},
};
constexpr std::array kEgressListExamples = {
    Example{"cellrun egress list quiet-otter", "what the cell may reach"},
};
constexpr std::array kEgressAddExamples = {
    Example{"cellrun egress add quiet-otter git.example.com:443 --for 10m",
            "let it out for ten minutes"},
    Example{"cellrun egress add quiet-otter host:5432", "the database on this machine"},
};
constexpr std::array kEgressRemoveExamples = {
    Example{"cellrun egress remove quiet-otter e2", "take a change back"},
    Example{"cellrun egress remove quiet-otter '*.example.com'", "close what the profile opens"},
};
constexpr std::array kEgressReloadExamples = {
    Example{"cellrun egress reload quiet-otter", "after the profile was edited"},
};
constexpr std::array kEgressBypassExamples = {
    Example{"cellrun egress bypass quiet-otter 5m", "everything public, for five minutes"},
};
constexpr std::array kAuditVerifyExamples = {
    Example{"cellrun audit verify", "check every link of the journal's hash chain"},
};
constexpr std::array kAuditExportExamples = {
    Example{"cellrun audit export --since 24h > audit.jsonl", "the last day, one record a line"},
};
constexpr std::array kProfileListExamples = {
    Example{"cellrun profile list", "every profile that can be named, and where it comes from"},
};
constexpr std::array kProfileShowExamples = {
    Example{"cellrun profile show strict", "the merged profile, each value with its origin"},
};
constexpr std::array kProfileLintExamples = {
    Example{"cellrun profile lint strict ./ci.yaml", "find rules that do not do what they seem to"},
};
constexpr std::array kProfileTestExamples = {
    Example{"cellrun profile test ./ci.yaml", "run the profile's own tests: section"},
};
constexpr std::array kProfileImportExamples = {
    Example{"cellrun profile import clawrden policy.yaml > imported.yaml",
            "a Clawrden policy as a profile"},
    Example{"cellrun profile import clawker .clawker.yaml > imported.yaml",
            "the firewall rules of a Clawker project as a profile"},
};
constexpr std::array kProfileSchemaExamples = {
    Example{"cellrun profile schema > cellrun-profile.schema.json", "for an editor's completion"},
};
constexpr std::array kPortExamples = {
    Example{"cellrun port quiet-otter", "every port, and where this host has it"},
    Example{"cellrun port quiet-otter 3000", "127.0.0.1:3000, for a browser or a script"},
};
constexpr std::array kToolAddExamples = {
    Example{"cellrun tool add quiet-otter terraform --secret AWS_KEY",
            "terraform, in a ghost that has this secret"},
    Example{"cellrun tool add quiet-otter make --limit processes=64 --limit time=5m",
            "with limits of its own"},
    Example{"cellrun tool add quiet-otter git --net git.example.com:443",
            "git, in a ghost that reaches this server and nothing else"},
};
constexpr std::array kToolRemoveExamples = {
    Example{"cellrun tool rm quiet-otter terraform", "take it away again"},
};
constexpr std::array kToolListExamples = {
    Example{"cellrun tool ls quiet-otter", "which tools the cell has, and what they may"},
};
constexpr std::array kDoctorExamples = {
    Example{"cellrun doctor", "check this machine, then attack a throw-away cell"},
    Example{"cellrun doctor -o json", "the same for a program"},
};
constexpr std::array kBrokerStartExamples = {
    Example{"cellrun broker start", "start the broker now instead of at the first run"},
};
constexpr std::array kBrokerStopExamples = {
    Example{"cellrun broker stop", "stop it when no cell runs"},
};
constexpr std::array kBrokerStatusExamples = {
    Example{"cellrun broker status -o json", "whether it runs, since when, with how many cells"},
};
constexpr std::array kBrokerLogsExamples = {
    Example{"cellrun broker logs -f", "follow the broker's own log"},
};
constexpr std::array kVersionExamples = {
    Example{"cellrun version", "version and build"},
};
constexpr std::array kCompletionExamples = {
    Example{"cellrun completion bash > ~/.local/share/bash-completion/completions/cellrun",
            "install completion for one user"},
};
constexpr std::array kHelpExamples = {
    Example{"cellrun help exit-status", "what each exit status means"},
};

// In the order of VerbId.
constexpr std::array kVerbs = {
    Verb{VerbId::kRun, "run", "COMMAND [ARG…]", WordKind::kCommand, 1, kAnyNumber,
         "run a command in a cell",
         "Runs COMMAND in a new cell: namespaces of its own, no capabilities, no network, a file "
         "tree with nothing of the host but its programs and the workspace. The kernel stops every "
         "execve in the cell until the broker has judged it under the profile.\n\n"
         "The word run may be left out. Options end at the first word that is not one; the first "
         "-- ends them too, and only that one is removed. A verb wins over a command of the same "
         "name: cellrun -- VERB runs the command.",
         kRunExamples},
    Verb{VerbId::kPs, "ps", "", WordKind::kNone, 0, 0, "list the cells that run",
         "Lists the cells of this user's broker. No broker means no cells. A cell that runs one "
         "command for another one says so: GHOST OF.",
         kPsExamples},
    Verb{VerbId::kHistory, "history", "[CELL]", WordKind::kCell, 0, 1,
         "show what ran, and what was denied",
         "Shows the journal: every judged execve, every blocked system call, the start and the end "
         "of every cell. CELL is a name, an id, or the beginning of an id that only one cell has.",
         kHistoryExamples},
    Verb{VerbId::kWhy, "why", "ID | [--] COMMAND [ARG…]", WordKind::kCommand, 0, kAnyNumber,
         "explain a decision, or what a command would meet",
         "With the number of a record: which rule decided, with file and line, which rules lost, "
         "and the smallest change that would alter it. With a command: the same for that command, "
         "without running it; `connect HOST:PORT` or `connect HOST:PORT/udp` asks about a "
         "connection. In a cell: without an argument, what was denied last; and only what decides, "
         "not the rest of the profile. Exit status 1: it was, or would be, denied.",
         kWhyExamples},
    Verb{VerbId::kRequest, "request", "[--] COMMAND [ARG…]", WordKind::kCommand, 1, kAnyNumber,
         "in a cell: propose a command to a person, and run it if it is approved",
         "For programs in a cell. Runs the command; where the profile would deny it, or asks about "
         "it, it waits for a person, who sees the reason as what the cell says. What the floor "
         "denies stays denied. Exit status: the command's; 126 where it is denied.",
         kRequestExamples},
    Verb{VerbId::kApprovalsList, "approvals list", "[CELL]", WordKind::kCell, 0, 1,
         "list the commands that wait for a person",
         "Lists the asks of this user's broker, oldest first; list may be left out. Identical "
         "commands of one cell wait under one id.",
         kApprovalsListExamples},
    Verb{VerbId::kApprovalsShow, "approvals show", "ID", WordKind::kAsk, 1, 1,
         "show everything that an answer is about",
         "Shows one ask, also one that is over: who asks, what exactly would run, the program and "
         "its hash, the variables that matter, the rule that asks, what to be careful about. ID "
         "may be the beginning of an id that only one ask has. Text that comes from the cell is "
         "escaped.",
         kApprovalsShowExamples},
    Verb{VerbId::kApprovalsWatch, "approvals watch", "", WordKind::kNone, 0, 0,
         "show what waits for an answer, on the whole screen",
         "Lists the commands that wait for a person, with everything that the answer is about: who "
         "asks, what exactly would run, the image and whether the cell could have written it, the "
         "rule that asks, the time left. What does not fit has to be paged through before it can "
         "be approved.\n\n"
         "Keys: y approves once, s for this cell, p for the project; n denies once, r with a "
         "reason that the caller gets, N from now on; e changes the arguments first. s, p and N "
         "show the rule that would be stored, and what else it would match, and store it after a "
         "further y. v shows one ask on the whole screen, q leaves; Enter does nothing. Arrows or "
         "j and k select, Space and b page. For half a second after the list moved, keys are "
         "dropped.",
         kApprovalsWatchExamples},
    Verb{VerbId::kApprovalsRules, "approvals rules", "[rm ID…]", WordKind::kNone, 0, kAnyNumber,
         "list or remove the answers that were remembered",
         "Lists the rules that answers with a scope above once have stored, verbatim, with their "
         "expiry and how often they decided. rm removes them, which counts at once, also in cells "
         "that run.",
         kApprovalsRulesExamples},
    Verb{VerbId::kApprovalsReport, "approvals report", "", WordKind::kNone, 0, 0,
         "show how asks were answered",
         "Counts the asks in the journal by the rule that asked: how many were approved, denied or "
         "left without an answer, the approval rate, and the median time that people thought. A "
         "rule of which everything is approved within a second protects nobody.",
         kApprovalsReportExamples},
    Verb{VerbId::kApprove, "approve", "ID…", WordKind::kAsk, 1, kAnyNumber,
         "let a command run that waits",
         "Approves asks. The answer is bound to what the ask is at that moment: should it have "
         "changed, nothing runs and the exit status is 1. On a terminal the whole ask is shown.\n\n"
         "A --scope of cell, project or always stores a rule for exactly this command, which is "
         "shown with what else it would have matched in the journal and has to be confirmed. Rules "
         "for a project or always expire after 30 days unless --for says otherwise.",
         kApproveExamples},
    Verb{VerbId::kDeny, "deny", "ID…", WordKind::kAsk, 1, kAnyNumber, "refuse a command that waits",
         "Denies asks: everybody who waits for exactly this. The reason is told to the caller. The "
         "same command is denied without asking for the next ten seconds, and for longer with "
         "--scope.",
         kDenyExamples},
    Verb{VerbId::kEgressList, "egress list", "CELL", WordKind::kCell, 1, 1,
         "list the network rules of a running cell",
         "Lists what decides about connections of a cell, in the order in which it is tried: the "
         "changes since it started, with the time that is left of each, then the rules of its "
         "profile and the default. The floor's rules are tried first, whatever stands here.",
         kEgressListExamples},
    Verb{VerbId::kEgressAdd, "egress add", "CELL HOST[:PORT]", WordKind::kCell, 2, 2,
         "let a running cell reach a destination",
         "HOST is a name, *.NAME, an address, a block of addresses or host (this machine's "
         "loopback). Counts at once, for as long as the cell lives or as --for says. What the "
         "floor denies stays denied. A cell whose profile lets nothing out has no gateway, and "
         "cannot be opened; nor can a ghost, which reaches what its rule names.",
         kEgressAddExamples},
    Verb{VerbId::kEgressRemove, "egress remove", "CELL ID|HOST[:PORT]", WordKind::kCell, 2, 2,
         "take a destination from a running cell",
         "Takes back the change ID, or denies the destination from now on, whatever the profile "
         "says, over TCP and UDP. Connections that are no longer allowed are cut within a second.",
         kEgressRemoveExamples},
    Verb{VerbId::kEgressReload, "egress reload", "CELL", WordKind::kCell, 1, 1,
         "read a running cell's profile again",
         "Reads the profile's files and the floor again. What they say about commands and "
         "connections counts from now on; what the cell was built with (its files, limits and "
         "environment) stays. If they cannot be used, nothing changes.",
         kEgressReloadExamples},
    Verb{VerbId::kEgressBypass, "egress bypass", "CELL DURATION", WordKind::kCell, 2, 2,
         "let a running cell reach every public destination for a while",
         "Lets out every name and every public address over TCP until the time is over; egress "
         "list shows how long that is, egress remove ends it. The floor, and addresses of this "
         "machine and of private networks, stay closed.",
         kEgressBypassExamples},
    Verb{VerbId::kPort, "port", "CELL [PORT]", WordKind::kCell, 1, 2,
         "list the published ports of a cell",
         "Lists the ports that the cell publishes (network.publish of its profile, --publish of "
         "run) and the address and port of this host where each is: `3000 -> 127.0.0.1:3000`. With "
         "PORT, the number inside the cell, only where that one is. Exit status 1: it is not "
         "published.",
         kPortExamples},
    Verb{VerbId::kAuditVerify, "audit verify", "", WordKind::kNone, 0, 0,
         "check the journal's hash chain",
         "Reads the whole journal and checks that every record names the hash of the one before "
         "it. Exit status 1: the first bad record is named.",
         kAuditVerifyExamples},
    Verb{VerbId::kAuditExport, "audit export", "[CELL]", WordKind::kCell, 0, 1,
         "write the journal in a form for other programs",
         "Writes records to stdout: JSON Lines with the fields of cellrun history, or OCSF.",
         kAuditExportExamples},
    Verb{VerbId::kProfileList, "profile list", "", WordKind::kNone, 0, 0,
         "list the profiles that can be named",
         "Lists every profile that --profile NAME would find, where it lies, and which profiles of "
         "the same name it hides.",
         kProfileListExamples},
    Verb{VerbId::kProfileShow, "profile show", "NAME|FILE", WordKind::kProfile, 1, 1,
         "print a profile with everything it extends",
         "Prints the merged profile as a cell would get it, each value with the file and line that "
         "it comes from.",
         kProfileShowExamples},
    Verb{VerbId::kProfileLint, "profile lint", "NAME|FILE…", WordKind::kProfile, 1, kAnyNumber,
         "find what a profile says but does not mean",
         "Finds rules that can never match, an allow that is broader than a deny below it, denials "
         "that a copy of the program evades, directories that are both writable and executable, "
         "and commands that are not in path. Exit status 1: something of severity warning or "
         "higher was found.",
         kProfileLintExamples},
    Verb{VerbId::kProfileTest, "profile test", "NAME|FILE…", WordKind::kProfile, 1, kAnyNumber,
         "run the tests that a profile contains",
         "Decides each case of the profile's tests: section, without a cell and without root. Exit "
         "status 1: a case came out differently.",
         kProfileTestExamples},
    Verb{VerbId::kProfileSchema, "profile schema", "", WordKind::kNone, 0, 0,
         "print the JSON Schema of profiles",
         "Prints the JSON Schema of the profile format, made from the table that the loader uses.",
         kProfileSchemaExamples},
    Verb{
        VerbId::kProfileImport, "profile import", "KIND FILE", WordKind::kPolicy, 2, 2,
        "turn another tool's policy into a profile",
        "Prints a profile that decides every command as the policy in FILE does, or more strictly; "
        "its comments say where, and what a profile cannot say. KIND is clawrden or clawker: of a "
        "Clawker project the firewall rules, each of which decides connections as there. What is "
        "wrong in "
        "the policy is named with its line and column; exit status 2.",
        kProfileImportExamples},
    Verb{VerbId::kToolAdd, "tool add", "CELL NAME", WordKind::kCell, 2, 2,
         "give a cell that runs a further command",
         "Makes NAME a command that the cell finds in its PATH and that runs in a ghost, with only "
         "the rights that the options name. The program is found in the directories of the "
         "profile's path, in the root file system that it runs in. It is there until the cell ends "
         "or tool rm takes it away.",
         kToolAddExamples},
    Verb{VerbId::kToolRemove, "tool rm", "CELL NAME…", WordKind::kCell, 2, kAnyNumber,
         "take tools away from a cell that runs",
         "The commands are no longer found in the cell, whether the profile or tool add gave them. "
         "What runs already goes on.",
         kToolRemoveExamples},
    Verb{VerbId::kToolList, "tool ls", "CELL", WordKind::kCell, 1, 1, "list the tools of a cell",
         "Lists the commands of a cell that exist only at the broker, and what they may.",
         kToolListExamples},
    Verb{VerbId::kDoctor, "doctor", "", WordKind::kNone, 0, 0,
         "check this machine and attack a throw-away cell",
         "Calls each feature of the kernel that cellrun builds on and says what its absence costs "
         "and the one command that mends it; checks the installation and the broker; then starts a "
         "throw-away cell and attacks it from inside. Exit status 1: something required is missing "
         "or an attack succeeded.",
         kDoctorExamples},
    Verb{VerbId::kBrokerStart, "broker start", "", WordKind::kNone, 0, 0,
         "start the broker if it does not run",
         "Starts this user's broker, as the first cellrun run would.", kBrokerStartExamples},
    Verb{VerbId::kBrokerStop, "broker stop", "", WordKind::kNone, 0, 0, "stop the broker",
         "Stops this user's broker. While cells run it refuses; --force ends them.",
         kBrokerStopExamples},
    Verb{VerbId::kBrokerStatus, "broker status", "", WordKind::kNone, 0, 0,
         "show whether the broker runs, and how it is",
         "Shows the broker's pid, version, build, uptime, cells and the state of its journal. Exit "
         "status 1: it does not run.",
         kBrokerStatusExamples},
    Verb{VerbId::kBrokerLogs, "broker logs", "", WordKind::kNone, 0, 0, "print the broker's log",
         "Prints broker.log of the state directory: the broker's own messages. What happened in "
         "cells is in the journal: cellrun history.",
         kBrokerLogsExamples},
    Verb{VerbId::kVersion, "version", "", WordKind::kNone, 0, 0, "print the version",
         "Prints the version and the build. Programs of cellrun that talk to each other must be of "
         "the same build.",
         kVersionExamples},
    Verb{VerbId::kCompletion, "completion", "bash|zsh|fish", WordKind::kShell, 1, 1,
         "print a completion script for a shell",
         "Prints the completion script for the shell. An installation puts them in place already.",
         kCompletionExamples},
    Verb{VerbId::kHelp, "help", "[VERB|TOPIC]", WordKind::kTopic, 0, 2, "explain a verb or a topic",
         "Explains a verb as --help does, or one of the topics exit-status, environment and files.",
         kHelpExamples},
};
static_assert(kVerbs.size() == static_cast<std::size_t>(VerbId::kCount));

constexpr std::array<std::string_view, 15> kLaterVerbs = {
    "inspect", "logs",   "top", "exec", "shell", "attach",       "stop",         "kill",
    "pause",   "resume", "rm",  "wait", "trust", "profile diff", "profile init",
};

}  // namespace

std::span<const Verb> AllVerbs() {
  return kVerbs;
}

const Verb& VerbOf(VerbId id) {
  const Verb& verb = kVerbs[static_cast<std::size_t>(id)];
  CHECK(verb.id == id);
  return verb;
}

const Verb* FindVerb(std::string_view name) {
  const auto* found = std::find_if(kVerbs.begin(), kVerbs.end(),
                                   [name](const Verb& verb) { return name == verb.name; });
  return found == kVerbs.end() ? nullptr : found;
}

bool IsVerbGroup(std::string_view name) {
  return std::any_of(kVerbs.begin(), kVerbs.end(), [name](const Verb& verb) {
    const std::string_view full = verb.name;
    return full.size() > name.size() && full.starts_with(name) && full[name.size()] == ' ';
  });
}

std::span<const std::string_view> LaterVerbs() {
  return kLaterVerbs;
}

}  // namespace cellrun::options
