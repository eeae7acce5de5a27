// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "launcher/approvals/ask_text.h"
#include "launcher/approvals/broker.h"
#include "launcher/approvals/editor.h"
#include "launcher/approvals/verbs.h"
#include "lib/base/text.h"
#include "lib/sys/file.h"
#include "lib/sys/terminal.h"

namespace cellrun::approvals {
namespace {

using launcher::PrintError;
using nlohmann::json;

constexpr int kDone = 0;
constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr std::size_t kShownMatches = 5;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

bool OnTerminal() {
  return isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1;
}

void Tell(const std::string& text) {
  const UniqueFd copy(fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3));
  if (copy.valid()) (void)sys::WriteAll(copy, text);  // there is nobody to tell otherwise
}

// The broker's text with its own line ends.
std::string Lines(const std::string& text) {
  std::string out;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    out += "  " + text::Escape(std::string_view(text).substr(begin, end - begin)) + "\n";
    begin = end + 1;
  }
  return out;
}

// What was typed at the terminal itself, so that nothing that is piped in answers.
bool Confirmed(const std::string& question) {
  const Result<UniqueFd> terminal = sys::OpenAt(AT_FDCWD, "/dev/tty", O_RDWR | O_NOCTTY);
  if (!terminal.ok()) return false;
  // Typed before the question could be read.
  (void)tcflush(terminal->get(), TCIFLUSH);
  if (!sys::WriteAll(*terminal, question + " [y/N] ").ok()) return false;
  std::string line;
  while (line.find('\n') == std::string::npos) {
    char buffer[64];  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read
    const Result<std::size_t> count = sys::Read(*terminal, buffer);
    if (!count.ok() || *count == 0) return false;
    line.append(&buffer[0], *count);
  }
  line.erase(line.find('\n'));
  return line == "y" || line == "Y" || line == "yes";
}

bool HasEscapedArguments(const json& ask) {
  const auto escaped = ask.find("escaped");
  if (escaped == ask.end() || !escaped->is_array()) return false;
  return std::any_of(escaped->begin(), escaped->end(), [](const json& name) {
    return name.is_string() && name.get<std::string>().starts_with("argv");
  });
}

std::optional<std::vector<std::string>> Arguments(const json& ask, const AnswerOptions& options) {
  if (!options.argv.empty()) {
    auto argv = ParseArguments(options.argv);
    if (argv.ok()) return *argv;
    PrintError({"wrong value for --argv", argv.error().context(), ""});
    return std::nullopt;
  }
  if (HasEscapedArguments(ask)) {
    PrintError({"the arguments cannot be edited", "they are not UTF-8", ""});
    return std::nullopt;
  }
  std::vector<std::string> argv;
  for (const json& argument : ask.value("argv", json::array())) {
    argv.push_back(argument.is_string() ? argument.get<std::string>() : "");
  }
  auto edited = EditArguments(argv);
  if (edited.ok()) return *edited;
  PrintError({"nothing was approved", edited.error().ToString(), ""});
  return std::nullopt;
}

// Shows the rule and what else it would match. False: it is not to be stored.
bool MayRemember(const std::string& id, const json& answer, const AnswerOptions& options,
                 int& status) {
  json preview;
  const Reply reply = Call("POST", "/v1/approvals/" + id + "/preview", answer, preview);
  if (!reply.ok()) {
    status = Fail(reply);
    return false;
  }
  if (options.yes && !OnTerminal()) return true;
  std::string text =
      "\nthis rule would be stored" +
      (Text(preview, "file").empty() ? " for as long as the cell runs"
                                     : " in " + text::Escape(Text(preview, "file"))) +
      ":\n" + Lines(Text(preview, "rule"));
  const std::uint64_t total = preview.value("matches_total", std::uint64_t{0});
  text += total == 0 ? "in the journal it would have matched nothing else\n"
                     : "in the journal it would also have matched " + std::to_string(total) +
                           (total == 1 ? " command:\n" : " commands, such as:\n");
  std::size_t shown = 0;
  for (const json& match : preview.value("matches", json::array())) {
    if (shown++ == kShownMatches) break;
    text += "  " + text::Escape(match.value("time", "")) + "  " + CommandText(match) + "\n";
  }
  Tell(text);
  if (options.yes || Confirmed("store it?")) return true;
  launcher::PrintNote("nothing was answered");
  status = kFailed;
  return false;
}

int AnswerOne(const std::string& id, const AnswerOptions& options) {
  json ask;
  Reply reply = Call("GET", "/v1/approvals/" + id, nullptr, ask);
  if (!reply.ok()) return Fail(reply);
  const std::string full = Text(ask, "id");
  if (OnTerminal()) Tell(AskText(ask, ColumnsOf(STDERR_FILENO)));
  json answer = {{"verdict", options.approve ? "approve" : "deny"},
                 {"digest", Text(ask, "digest")},
                 {"scope", options.scope},
                 {"reason", options.reason},
                 {"widen", options.widen}};
  if (options.for_time) answer["for_ms"] = options.for_time->count();
  if (options.edit || !options.argv.empty()) {
    const auto argv = Arguments(ask, options);
    if (!argv) return kFailed;
    answer["argv"] = *argv;
  }
  int status = kDone;
  if (options.scope != "once" && Text(ask, "state") == "pending" &&
      !MayRemember(full, answer, options, status)) {
    return status;
  }
  json outcome;
  reply = Call("POST", "/v1/approvals/" + full, answer, outcome);
  if (!reply.ok()) return Fail(reply);
  std::string note = full + " ";
  if (Text(outcome, "state") == "pending") {
    note += "is approved in part: " + std::to_string(outcome.value("approvers", 1)) +
            " people must approve";
  } else {
    note += "is " + Text(outcome, "state");
  }
  launcher::PrintNote(note);
  return kDone;
}

}  // namespace

int Answer(const AnswerOptions& options) {
  if (options.for_time && options.scope == "once") {
    PrintError({"--for needs a scope", "once is over when the command has started",
                "--scope cell, project or always"});
    return kUsage;
  }
  if (options.scope != "once" && !options.yes && !OnTerminal()) {
    PrintError({"--scope " + options.scope + " stores a rule, which has to be confirmed",
                "there is no terminal to show it on", "--yes"});
    return kUsage;
  }
  if ((options.edit || !options.argv.empty()) && options.ids.size() != 1) {
    PrintError({"only one command can be edited at a time", "", ""});
    return kUsage;
  }
  int status = kDone;
  for (const std::string& id : options.ids) {
    status = std::max(status, AnswerOne(id, options));
  }
  return status;
}

}  // namespace cellrun::approvals
