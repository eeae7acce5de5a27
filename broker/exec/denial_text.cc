// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/denial_text.h"

#include <string_view>

#include "lib/base/text.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxCommandBytes = 512;
constexpr std::size_t kMaxLineBytes = 600;  // of the rule's own texts
constexpr std::string_view kCut = "…";

std::string_view BaseName(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// argv[0] is whatever the caller likes: shown only where it names the program.
std::string Command(const std::string& raw_path, const std::vector<std::string>& argv) {
  const bool honest = !argv.empty() && BaseName(argv[0]) == BaseName(raw_path);
  std::string command;
  for (std::size_t i = 0; i < argv.size(); ++i) {
    // No argument needs more than what is shown of all: a huge one is not escaped whole.
    const std::string& argument = i == 0 && !honest ? raw_path : argv[i];
    std::string quoted =
        argument.size() > kMaxCommandBytes
            ? text::EscapeShort(argument.substr(0, kMaxCommandBytes), kMaxCommandBytes)
            : text::Quote(argument);
    if (command.size() + quoted.size() + 1 > kMaxCommandBytes && i > 0) {
      return command + " " + std::string(kCut);
    }
    if (i > 0) command += ' ';
    command += quoted;
    if (argument.size() > kMaxCommandBytes) return command + std::string(kCut);
  }
  return command;
}

std::string RuleLine(const policy::RuleReference& rule, const std::string& reason) {
  std::string line;
  if (!rule.at.file.empty()) {
    line = text::EscapeShort(BaseName(rule.at.file), kMaxLineBytes);
    if (rule.at.line > 0) line += ":" + std::to_string(rule.at.line);
  }
  const std::string& called = reason.empty() ? rule.name : reason;
  if (!called.empty()) {
    if (!line.empty()) line += ' ';
    line += "\"" + text::EscapeShort(called, kMaxLineBytes) + "\"";
  }
  return line;
}

}  // namespace

std::string DenialText(const std::string& raw_path, const std::vector<std::string>& argv,
                       const policy::Verdict& verdict) {
  std::string shown = "cellrun: denied: " + Command(raw_path, argv) + "\n";
  const std::string rule = RuleLine(verdict.rule, verdict.reason);
  if (!rule.empty()) shown += "rule: " + rule + "\n";
  if (!verdict.message.empty()) shown += text::EscapeShort(verdict.message, kMaxLineBytes) + "\n";
  if (verdict.action == policy::Action::kAsk) {
    shown += "needs a person's approval, and no approver is connected\n";
  }
  if (!verdict.suggest.empty()) {
    shown += "instead: " + text::EscapeShort(verdict.suggest, kMaxLineBytes) + "\n";
  }
  return shown;
}

std::string AskDenialReason(const approvals::Decision& decision) {
  if (decision.by == "no approver") return "no approver is connected";
  if (!decision.reason.empty()) return decision.reason;
  if (decision.by == kCheckerAnswered) return "a checker denied it";
  return decision.state == approvals::State::kExpired ? "nobody answered in time"
                                                      : "a person denied it";
}

std::string AskDenialText(const std::string& raw_path, const std::vector<std::string>& argv,
                          const approvals::Ask& ask, const approvals::Decision& decision) {
  std::string shown = "cellrun: denied: " + Command(raw_path, argv) + "\n";
  const std::string rule = RuleLine(ask.rule, ask.reason);
  if (!rule.empty()) shown += "rule: " + rule + "\n";
  if (decision.by == "no approver") {
    return shown + "needs a person's approval, and no approver is connected\n";
  }
  const char* const who = decision.by == kCheckerAnswered ? "check: " : "approval: ";
  return shown + who + text::EscapeShort(AskDenialReason(decision), kMaxLineBytes) + "\n";
}

std::string DenialReason(const policy::Verdict& verdict) {
  if (!verdict.message.empty()) return verdict.message;
  if (!verdict.reason.empty()) return verdict.reason;
  return verdict.action == policy::Action::kAsk ? "no approver is connected" : "";
}

}  // namespace cellrun::exec
