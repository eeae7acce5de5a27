// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/risks.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "lib/base/text.h"

namespace cellrun::exec {
namespace {

using approvals::Ask;

constexpr std::size_t kLongArguments = 4096;

bool Any(const std::vector<std::string>& argv, bool (*has)(std::string_view)) {
  return std::any_of(argv.begin(), argv.end(), has);
}
bool HasControl(std::string_view argument) {
  return std::any_of(argument.begin(), argument.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7f;
  });
}
bool HasHidden(std::string_view argument) {
  std::string shown = text::Escape(argument);
  // A backslash is escaped, but seen for what it is.
  for (std::size_t at = 0; (at = shown.find("\\\\", at)) != std::string::npos;)
    shown.erase(at++, 1);
  return shown != argument && !HasControl(argument);
}
std::string_view BaseName(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}
bool IsBelow(std::string_view path, std::string_view directory) {
  return path == directory ||
         (path.starts_with(directory) && path.substr(directory.size()).starts_with('/'));
}
std::size_t Bytes(const std::vector<std::string>& argv) {
  std::size_t bytes = 0;
  for (const std::string& argument : argv) bytes += argument.size() + 1;
  return bytes;
}

// What makes a loader, a shell or an interpreter run other code first.
bool LoadsCode(const approvals::EnvironmentChange& change) {
  constexpr std::array<std::string_view, 18> kNames{
      "LD_PRELOAD",     "LD_AUDIT",          "LD_LIBRARY_PATH", "BASH_ENV",   "ENV",
      "PROMPT_COMMAND", "PYTHONPATH",        "PYTHONSTARTUP",   "PYTHONHOME", "NODE_OPTIONS",
      "NODE_PATH",      "PERL5OPT",          "PERL5LIB",        "RUBYOPT",    "RUBYLIB",
      "GCONV_PATH",     "JAVA_TOOL_OPTIONS", "LUA_INIT"};
  return change.is_set &&
         (std::find(kNames.begin(), kNames.end(), change.name) != kNames.end() ||
          change.name.starts_with("BASH_FUNC_") || change.name.starts_with("GIT_CONFIG") ||
          change.name.starts_with("GIT_SSH"));
}

struct Check {
  bool (*holds)(const AskedExec& asked);
  const char* says;
};

constexpr std::array<Check, 16> kChecks{{
    {[](const AskedExec& asked) { return asked.denied_by_rule; },
     "the rule denies it: it is asked about because a program of the cell proposed it"},
    {[](const AskedExec& asked) { return asked.script.has_value() && asked.script->is_image; },
     "the cell could have written this script; it runs from a copy of what is shown, under another "
     "name ($0)"},
    {[](const AskedExec& asked) { return asked.script.has_value() && !asked.script->is_image; },
     "the cell could have written the script that it runs; it runs from a copy of what is shown, "
     "under another name, and does not find files beside it"},
    {[](const AskedExec& asked) { return asked.image_writable; },
     "the cell could have written this program; it is compared with its hash when it runs"},
    {[](const AskedExec& asked) { return asked.content_may_change; },
     "it loads a file that the cell can change: what that contains may change after the answer"},
    {[](const AskedExec& asked) { return asked.operand == ScriptOperand::Kind::kInline; },
     "an interpreter that runs code from its arguments or its input"},
    {[](const AskedExec& asked) { return asked.operand == ScriptOperand::Kind::kUnclear; },
     "an interpreter with options that were not understood: it may run code from any file, which "
     "may change after the answer"},
    {[](const AskedExec& asked) {
       return asked.operand == ScriptOperand::Kind::kScript && !asked.operand_found;
     },
     "an interpreter whose script could not be found: what it runs may change after the answer"},
    {[](const AskedExec& asked) {
       return std::any_of(asked.ask.environment.begin(), asked.ask.environment.end(), LoadsCode);
     },
     "the environment makes it load or run other code first"},
    {[](const AskedExec& asked) {
       return std::any_of(asked.ask.environment.begin(), asked.ask.environment.end(),
                          [](const auto& change) { return change.name == "PATH"; });
     },
     "PATH is not the one that the cell started with: programs that it starts may be others"},
    {[](const AskedExec& asked) {
       return std::adjacent_find(asked.ask.environment.begin(), asked.ask.environment.end(),
                                 [](const auto& one, const auto& next) {
                                   return one.name == next.name;
                                 }) != asked.ask.environment.end();
     },
     "a variable is set to several values at once: programs differ in which one they take"},
    {[](const AskedExec& asked) { return Any(asked.ask.argv, HasControl); },
     "arguments contain control characters"},
    {[](const AskedExec& asked) { return Any(asked.ask.argv, HasHidden); },
     "arguments contain characters that do not show, change the direction of text, or are no text"},
    {[](const AskedExec& asked) { return Bytes(asked.ask.argv) > kLongArguments; },
     "the arguments are longer than 4 KiB: look at all of them"},
    {[](const AskedExec& asked) {
       return !asked.ask.argv.empty() &&
              BaseName(asked.ask.argv[0]) != BaseName(asked.ask.program) &&
              BaseName(asked.ask.argv[0]) != BaseName(asked.original_program);
     },
     "it calls itself by another name than its program's"},
    {[](const AskedExec& asked) { return !IsBelow(asked.ask.cwd, asked.ask.workspace); },
     "it runs outside the workspace"},
}};

void AddRight(const char* says, const std::vector<std::string>& names,
              std::vector<std::string>& risks) {
  if (names.empty()) return;
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? " " : ", ") + text::Escape(name);
  risks.push_back(says + list);
}

// What it has and the cell has not.
void AddRights(const policy::Ghost& ghost, std::vector<std::string>& risks) {
  AddRight("it reaches what the cell may not:", ghost.network, risks);
  AddRight("it is given the secrets", ghost.secrets, risks);
  AddRight("it writes below", ghost.write, risks);
  if (!ghost.image.empty())
    AddRight("it runs the programs of the file system", {ghost.image}, risks);
}

}  // namespace

std::vector<std::string> FindRisks(const AskedExec& asked) {
  std::vector<std::string> risks;
  if (asked.ask.strategy == policy::Strategy::kGhost) AddRights(asked.ghost, risks);
  for (const Check& check : kChecks) {
    if (check.holds(asked)) risks.emplace_back(check.says);
  }
  return risks;
}

}  // namespace cellrun::exec
