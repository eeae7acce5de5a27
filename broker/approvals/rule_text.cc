// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/rule_text.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <map>
#include <utility>

#include "broker/approvals/secrets.h"
#include "lib/base/text.h"
#include "lib/policy/glob.h"
#include "lib/policy/load.h"
#include "lib/policy/pattern.h"
#include "lib/policy/policy.h"
#include "lib/policy/yaml_text.h"

namespace cellrun::approvals {
namespace {

// Variables that make a program run other code than its own. A rule that was remembered without
// them is not for a command with them.
constexpr std::array<const char*, 14> kCodeVariables = {
    "LD_PRELOAD",    "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV",       "ENV",
    "NODE_OPTIONS",  "NODE_PATH",       "PERL5OPT", "PERL5LIB",       "PYTHONPATH",
    "PYTHONSTARTUP", "RUBYOPT",         "RUBYLIB",  "GIT_SSH_COMMAND"};

// The pattern that matches this text and nothing else.
std::string Exactly(const std::string& text) {
  std::string pattern = policy::EscapeGlob(text);
  if (pattern.starts_with(policy::kRegexPrefix)) pattern.insert(0, "\\");
  return pattern;
}

Result<void> CheckWritable(const std::string& text, const char* what) {
  if (!text::IsUtf8(text) || text.find('\0') != std::string::npos) {
    return Error(EINVAL, "", std::string(what) + " is not UTF-8, which no rule can hold");
  }
  return {};
}

Result<void> CheckAsk(const Ask& ask, bool widen) {
  if (!ask.rememberable) {
    return Error(
        EINVAL, "",
        "what the floor, the workspace or a checker asks about, and what a program of the cell has "
        "proposed, is asked about each time");
  }
  if (!ask.script_copy.empty() || (ask.writable && !ask.chain.empty())) {
    return Error(EINVAL, "",
                 "the cell can write the script, so each version of it has to be looked at");
  }
  if (ask.image_hash.empty() && !widen) return Error(EINVAL, "", "the image has no hash");
  Ask shown = ask;
  if (HideSecrets(shown)) {
    return Error(EINVAL, "", "the command holds what looks like a secret, which no rule keeps");
  }
  TRY(CheckWritable(ask.program, "the program's path"));
  TRY(CheckWritable(ask.cwd, "the working directory"));
  const auto& argv = ask.original_argv.empty() ? ask.argv : ask.original_argv;
  for (const std::string& argument : argv) TRY(CheckWritable(argument, "an argument"));
  for (const EnvironmentChange& change : ask.environment) {
    TRY(CheckWritable(change.name, "a variable's name"));
    TRY(CheckWritable(change.after, "a variable"));
  }
  return {};
}

std::map<std::string, std::optional<std::string>> VariablesOf(const Ask& ask) {
  std::map<std::string, std::optional<std::string>> variables;
  for (const char* name : kCodeVariables) variables[name] = std::nullopt;
  for (const EnvironmentChange& change : ask.environment) {
    variables[change.name] = std::nullopt;
    if (change.is_set) variables[change.name] = change.after;
  }
  return variables;
}

std::string Flow(const std::vector<std::string>& items) {
  std::string list = "[";
  for (const std::string& item : items) {
    if (list.size() > 1) list += ", ";
    list += policy::YamlScalar(item);
  }
  return list + "]";
}

std::string WhenText(const RuleRequest& request) {
  const Ask& ask = request.ask;
  // A rule is tried before `rewrite`, on what the program wrote.
  const auto& argv = ask.original_argv.empty() ? ask.argv : ask.original_argv;
  std::vector<std::string> patterns;
  for (std::size_t i = 1; i < argv.size(); ++i) patterns.push_back(Exactly(argv[i]));
  std::string text = "    exe: " + policy::YamlScalar(Exactly(ask.program)) + "\n";
  if (!request.widen) text += "    hash: " + policy::YamlScalar("sha256:" + ask.image_hash) + "\n";
  text += "    args: " + Flow(patterns) + "\n";
  if (request.scope != Scope::kAlways) {
    text += "    cwd: " + policy::YamlScalar(Exactly(ask.cwd)) + "\n";
  }
  // A denial that a further variable could evade would be none.
  if (!request.allow) return text;
  std::string variables;
  for (const auto& [name, value] : VariablesOf(ask)) {
    variables += (variables.empty() ? "" : ", ") + policy::YamlScalar(name) + ": " +
                 (value ? policy::YamlScalar(Exactly(*value)) : "null");
  }
  return text + "    env: {" + variables + "}\n";
}

policy::ExecRequest RequestOf(const Ask& ask) {
  policy::ExecRequest request;
  request.raw_path = ask.program;
  request.images.push_back({.path = ask.program,
                            .id = {.device = 1, .inode = 1},
                            .writable = ask.writable,
                            .hash = ask.image_hash});
  request.argv = ask.original_argv.empty() ? ask.argv : ask.original_argv;
  for (const EnvironmentChange& change : ask.environment) {
    if (change.is_set) request.env.push_back(change.name + "=" + change.after);
  }
  request.cwd = ask.cwd;
  return request;
}

// Under a policy of nothing but this rule, over the default that it changes.
Result<void> Try(const RuleRequest& request, const std::string& rule) {
  std::string indented;
  for (std::size_t begin = 0; begin < rule.size();) {
    const std::size_t end = std::min(rule.find('\n', begin), rule.size() - 1) + 1;
    indented += "    " + rule.substr(begin, end - begin);
    begin = end;
  }
  const policy::Places places{.home = "/home/none", .workspace = request.ask.workspace};
  const std::vector<policy::Source> sources = {
      {.name = "remembered",
       .origin = "remembered",
       .text = "cellrun: 1\nname: remembered\ncommands:\n  rules:\n" + indented,
       .layer = policy::Layer::kRemembered},
      {.name = "asks",
       .origin = "asks",
       .text = "cellrun: 1\nname: asks\ncommands: {default: ask}\n",
       .layer = policy::Layer::kProfile}};
  policy::Checked<policy::Profile> profile = policy::LoadProfile(sources, places);
  if (!profile.ok()) {
    return Error(EINVAL, "", "it cannot be written as a rule: " + profile.problems()[0].ToString());
  }
  const auto policy = policy::Policy::Compile(
      std::move(profile.value()), places,
      [](const std::string&) -> std::optional<policy::FileFacts> { return std::nullopt; },
      std::chrono::system_clock::time_point());
  if (!policy.ok()) {
    return Error(EINVAL, "", "it cannot be written as a rule: " + policy.problems()[0].ToString());
  }
  const policy::Action wanted = request.allow ? policy::Action::kAllow : policy::Action::kDeny;
  policy::ExecRequest command = RequestOf(request.ask);
  if (policy.value()->Decide(command).action != wanted) {
    return Error(EINVAL, "", "no rule can name exactly this command");
  }
  command.argv.emplace_back("x");
  if (policy.value()->Decide(command).action != policy::Action::kAsk) {
    return Error(EINVAL, "", "no rule can name exactly this command");
  }
  return {};
}

}  // namespace

std::string ExpiryText(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  (void)gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text.data(), length};
}

Result<std::string> RuleText(const RuleRequest& request) {
  TRY(CheckAsk(request.ask, request.widen));
  TRY(CheckWritable(request.reason, "the reason"));
  std::string rule = "- name: remembered " + request.id + "\n  when:\n" + WhenText(request);
  rule += std::string("  then: ") + (request.allow ? "allow" : "deny") + "\n";
  const std::string because = (request.allow ? "approved by " : "denied by ") + request.by +
                              (request.reason.empty() ? "" : ": " + request.reason);
  rule += "  reason: " + policy::YamlScalar(because) + "\n";
  if (!request.allow) rule += "  message: " + policy::YamlScalar(because) + "\n";
  if (request.expires) {
    rule += "  expires: " + policy::YamlScalar(ExpiryText(*request.expires)) + "\n";
  }
  TRY(Try(request, rule));
  return rule;
}

}  // namespace cellrun::approvals
