// SPDX-License-Identifier: Apache-2.0
#include "launcher/journal_verbs.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>

#include "launcher/client/error_form.h"
#include "launcher/client/inside.h"
#include "launcher/history/history.h"
#include "launcher/options/value.h"
#include "launcher/watch/watch.h"
#include "lib/base/result.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::launcher {
namespace {

using options::Arguments;
using options::OptionId;

constexpr int kFailed = 1, kUsageError = 2;

Result<history::Places> FindPlaces() {
  history::Places places;
  places.api_socket = TRY(wire::RuntimeDirectory()) + "/api.sock";
  places.database = TRY(wire::StateDirectory()) + "/journal.db";
  places.broker_program = TRY(wire::LibexecPath("cellrun-broker"));
  return places;
}

// The places, or nothing after having said why.
std::optional<history::Places> Places() {
  auto places = FindPlaces();
  if (places.ok()) return *places;
  PrintError({"cannot find the journal", places.error().ToString(), "cellrun doctor"});
  return std::nullopt;
}

history::Output ToOutput(const Arguments& arguments) {
  const std::string name = arguments.Get(OptionId::kOutput, "table");
  if (name == "json") return history::Output::kJson;
  if (name == "jsonl") return history::Output::kJsonLines;
  return history::Output::kTable;
}

history::Color ToColor(const Arguments& arguments) {
  const std::string name = arguments.Get(OptionId::kColor, "auto");
  if (name == "always") return history::Color::kAlways;
  if (name == "never") return history::Color::kNever;
  return history::Color::kAuto;
}

std::string FirstWord(const Arguments& arguments) {
  return arguments.words.empty() ? "" : arguments.words[0];
}

// A single number is a record; anything else is a command.
std::optional<std::uint64_t> RecordNumber(const std::vector<std::string>& words) {
  if (words.size() != 1) return std::nullopt;
  std::uint64_t number = 0;
  const char* const end = words[0].data() + words[0].size();
  const auto [stop, error] = std::from_chars(words[0].data(), end, number);
  if (error != std::errc() || stop != end || number == 0) return std::nullopt;
  return number;
}

}  // namespace

int HistoryVerb(const Arguments& arguments) {
  auto places = Places();
  if (!places) return kFailed;
  history::HistoryOptions history;
  history.places = *places;
  history.cell = FirstWord(arguments);
  history.kinds = arguments.All(OptionId::kKind);
  if (arguments.Has(OptionId::kAsks)) history.kinds = {"ask"};
  history.verdicts = arguments.All(OptionId::kVerdict);
  history.since = arguments.Get(OptionId::kSince);
  history.until = arguments.Get(OptionId::kUntil);
  history.exe = arguments.Get(OptionId::kProgram);
  history.text = arguments.Get(OptionId::kText);
  history.limit = options::ParseCount(arguments.Get(OptionId::kRecordLimit)).value_or(0);
  history.follow = arguments.Has(OptionId::kFollow);
  history.output = ToOutput(arguments);
  history.color = ToColor(arguments);
  history.headers = !arguments.Has(OptionId::kNoHeaders);
  return history::History(history);
}

int WhyVerb(const Arguments& arguments) {
  history::WhyOptions why;
  if (const auto record = RecordNumber(arguments.words)) {
    why.record = *record;
  } else {
    why.command = arguments.words;
  }
  why.profile = arguments.Get(OptionId::kProfile);
  why.workspace = arguments.Get(OptionId::kWorkspace);
  why.output = ToOutput(arguments);
  why.color = ToColor(arguments);
  if (client::IsInside()) return history::WhyInside(why);
  if (arguments.words.empty()) {
    PrintError({"why needs a record's number or a command",
                "without one it explains, in a cell, what was denied last", "cellrun history"});
    return kUsageError;
  }
  auto places = Places();
  if (!places) return kFailed;
  why.places = *places;
  return history::Why(why);
}

int ApprovalsWatchVerb(const Arguments& arguments) {
  auto places = Places();
  if (!places) return kFailed;
  return watch::Watch(
      {.api_socket = places->api_socket, .color = arguments.Get(OptionId::kColor, "auto")});
}

int AuditVerifyVerb(const Arguments& arguments) {
  auto places = Places();
  if (!places) return kFailed;
  history::AuditVerifyOptions verify;
  verify.places = *places;
  verify.file = arguments.Get(OptionId::kDatabase);
  verify.head = arguments.Get(OptionId::kHead);
  verify.output = ToOutput(arguments);
  return history::AuditVerify(verify);
}

int AuditExportVerb(const Arguments& arguments) {
  auto places = Places();
  if (!places) return kFailed;
  history::AuditExportOptions dump;
  dump.places = *places;
  dump.file = arguments.Get(OptionId::kDatabase);
  dump.format = arguments.Get(OptionId::kExportFormat, "jsonl");
  dump.cell = FirstWord(arguments);
  dump.since = arguments.Get(OptionId::kSince);
  dump.until = arguments.Get(OptionId::kUntil);
  return history::AuditExport(dump);
}

}  // namespace cellrun::launcher
