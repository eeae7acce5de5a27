// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

// What can be typed: one table of verbs and one of options. Parsing, help, completion and the
// manual page cellrun(1) are all derived from them.
namespace cellrun::options {

enum class VerbId : std::uint8_t {
  kRun,
  kPs,
  kHistory,
  kWhy,
  kRequest,
  kApprovalsList,
  kApprovalsShow,
  kApprovalsWatch,
  kApprovalsRules,
  kApprovalsReport,
  kApprove,
  kDeny,
  kEgressList,
  kEgressAdd,
  kEgressRemove,
  kEgressReload,
  kEgressBypass,
  kPort,
  kAuditVerify,
  kAuditExport,
  kProfileList,
  kProfileShow,
  kProfileLint,
  kProfileTest,
  kProfileSchema,
  kProfileImport,
  kToolAdd,
  kToolRemove,
  kToolList,
  kDoctor,
  kBrokerStart,
  kBrokerStop,
  kBrokerStatus,
  kBrokerLogs,
  kVersion,
  kCompletion,
  kHelp,
  kCount,
};

enum class OptionId : std::uint8_t {
  kProfile,
  kWorkspace,
  kName,
  kEnvironment,
  kRead,
  kWrite,
  kObserve,
  kTerminal,
  kReport,
  kTime,
  kBackend,
  kImage,
  kDetach,
  kNetwork,
  kPublish,
  kMemory,
  kKind,
  kVerdict,
  kSince,
  kUntil,
  kProgram,
  kRecordLimit,
  kFollow,
  kText,
  kAsks,
  kState,
  kScope,
  kFor,
  kReason,
  kEdit,
  kArgv,
  kWiden,
  kRemember,
  kYes,
  kToolRun,
  kSecret,
  kLimit,
  kOutput,
  kNoHeaders,
  kColor,
  kExportFormat,
  kDatabase,
  kHead,
  kForce,
  kNoSelfTest,
  kAttackPlan,
  kVersion,
  kShortHelp,
  kHelp,
};

// What a value must look like; the parser checks it, so a handler never sees a malformed one.
enum class ValueKind : std::uint8_t {
  kFlag,         // no value
  kText,         // not empty
  kPath,         // not empty
  kDirectory,    // not empty; completed as a directory
  kProfile,      // a profile's name or file
  kAssignment,   // NAME or NAME=VALUE
  kDuration,     // 500ms 30s 5m 2h 7d
  kCount,        // a whole number from 1
  kChoice,       // one of `choices`
  kMoment,       // RFC 3339, or a duration: so long ago
  kDestination,  // as `to` of a network rule, perhaps with :PORT or :FIRST-LAST
  kPublish,      // PORT, HOST:CELL or ADDRESS:HOST:CELL, as a profile's network.publish
};

enum class Support : std::uint8_t {
  kNow,
  kLater,   // parsed and then refused: "not supported yet"
  kHidden,  // cellrun's own, for the processes that it starts
};

using VerbMask = std::uint64_t;
constexpr VerbMask In(VerbId verb) {
  return VerbMask{1} << static_cast<unsigned>(verb);
}
static_assert(static_cast<unsigned>(VerbId::kCount) < 64);

struct Option {
  OptionId id;
  const char* flag;  // "--profile"; "" for one that has only a letter
  char letter;       // 'p'; '\0' for none
  ValueKind kind;
  const char* value;    // how help names the value: "NAME|FILE"
  const char* choices;  // "a|b|c" for kChoice, else ""
  bool repeatable;
  Support support;
  VerbMask verbs;
  const char* help;
};

struct Example {
  const char* command;
  const char* meaning;
};

// What the words after the options are, for checks and completion.
enum class WordKind : std::uint8_t {
  kNone,
  kCommand,
  kCell,
  kProfile,
  kShell,
  kTopic,
  kAsk,
  kPolicy
};

struct Verb {
  VerbId id;
  const char* name;   // "profile lint"
  const char* words;  // how help names them: "FILE|NAME…"
  WordKind word_kind;
  std::size_t minimum_words, maximum_words;
  const char* summary;      // one line, no full stop
  const char* description;  // sentences; paragraphs are separated by an empty line
  std::span<const Example> examples;
};

inline constexpr std::size_t kAnyNumber = static_cast<std::size_t>(-1);

std::span<const Verb> AllVerbs();
std::span<const Option> AllOptions();
const Verb& VerbOf(VerbId id);
// Null: there is none. "profile lint" is one name.
const Verb* FindVerb(std::string_view name);
// Whether some verb is called "GROUP …".
bool IsVerbGroup(std::string_view name);
// Verbs that the command line reserves and this release does not have: "approvals", "profile diff".
std::span<const std::string_view> LaterVerbs();

inline bool Applies(const Option& option, const Verb& verb) {
  return (option.verbs & In(verb.id)) != 0;
}

// Pages of `cellrun help TOPIC` that are not verbs; also sections of the manual.
struct Topic {
  const char* name;   // "exit-status"
  const char* title;  // "EXIT STATUS"
  const char* text;   // paragraphs; a line that starts with two spaces is a row "term  meaning"
};
std::span<const Topic> AllTopics();

}  // namespace cellrun::options
