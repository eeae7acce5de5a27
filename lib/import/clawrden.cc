// SPDX-License-Identifier: Apache-2.0
#include "lib/import/clawrden.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/base/text.h"
#include "lib/import/clawrden_patterns.h"
#include "lib/import/clawrden_policy.h"
#include "lib/policy/glob.h"
#include "lib/policy/units.h"
#include "lib/policy/yaml_text.h"

namespace cellrun::import {
namespace {

using policy::Action;
using policy::Problem;
using Milliseconds = std::chrono::milliseconds;

constexpr Milliseconds kShortestWait{std::chrono::seconds(1)};
constexpr Milliseconds kLongestWait{std::chrono::hours(7 * 24)};

constexpr std::string_view kHeader =
    "# What differs. Every difference but the last two is stricter:\n"
    "#\n"
    "# - Clawrden sees what is started through its shims, by the name it was started by. A cell\n"
    "#   judges every execve by the program that would run, whatever it is called: absolute "
    "paths,\n"
    "#   `find -exec`, interpreters and copies are judged as well, and what no rule names gets "
    "the\n"
    "#   default.\n"
    "# - `allow` is for programs that are found in `path`, which the cell cannot write. A program "
    "of\n"
    "#   the same name elsewhere goes on to the next rule. `ask` and `deny` hold for that name\n"
    "#   anywhere.\n"
    "# - A script is judged with its interpreters (npm with env and node), and the strictest "
    "verdict\n"
    "#   counts.\n"
    "# - Programs without a file (memory files, deleted ones) are denied.\n"
    "# - Clawrden lets an ask wait for ever. Here it is denied after the time that the policy has "
    "as\n"
    "#   `timeout`, or else `default_timeout`.\n"
    "# - Only the variables below reach the cell; PATH and HOME are the cell's own.\n"
    "# - There is no network. Clawrden leaves that to its container.\n"
    "# - Not imported: `timeout` as a limit of how long a command may run. A cell has "
    "`limits.time`\n"
    "#   for all of it; use timeout(1) for one command.\n"
    "# - Not imported: the environment is scrubbed where it enters the cell. What a program of "
    "the\n"
    "#   cell sets for its child stays: both have the same rights.\n";

constexpr std::string_view kCell =
    "require: [userns, netns, seccomp]\n"
    "path: [/usr/local/bin, /usr/bin, /bin]\n"
    "filesystem:\n"
    "  root: host\n"
    "  workspace: rw\n"
    "  protect: [.git/hooks, .git/config, .husky, .envrc, .vscode, .idea, .devcontainer, .claude,\n"
    "            .mcp.json, .codex, .cursor, .cellrun.yaml]\n"
    "network:\n"
    "  default: deny\n"
    "environment:\n"
    "  pass: [LANG, LANGUAGE, LC_ALL, TERM, USER, SHELL, NODE_ENV, GOPATH, GOROOT, PYTHONPATH]\n"
    "  drop: [LD_PRELOAD, LD_LIBRARY_PATH, DOCKER_HOST, KUBECONFIG, AWS_ACCESS_KEY_ID,\n"
    "         AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, CLAWRDEN_SOCKET]\n";

std::string List(const std::vector<std::string>& texts) {
  std::string list = "[";
  for (const std::string& text : texts) {
    if (list.size() > 1) list += ", ";
    list += policy::YamlScalar(text);
  }
  return list + "]";
}

// What a rule's `exe` says; empty: the rule matches nothing.
struct Programs {
  std::vector<std::string> exe;
  std::string note;
};

class Writer {
 public:
  explicit Writer(const ClawrdenPolicy& policy, const policy::Source& source)
      : policy_(policy), source_(source) {}

  std::string Write() {
    std::string name = source_.origin.substr(source_.origin.rfind('/') + 1);
    out_ = "# Imported from the Clawrden policy " + text::Escape(name) + ".\n#\n" +
           std::string(kHeader) + "cellrun: 1\nname: " + policy::YamlScalar(ProfileName(name)) +
           "\ndescription: " + policy::YamlScalar("Imported from the Clawrden policy " + name) +
           "\n" + std::string(kCell);
    Line("approvals: {timeout: " + policy::FormatDuration(Wait(policy_.default_timeout)) + "}");
    WriteDirectories();
    for (const std::string& jail : policy_.jails) {
      Line("# jails: " + text::Escape(jail) + ": every command is judged, listed or not.");
    }
    Line("commands:");
    Line("  default: deny");
    std::string head = std::exchange(out_, "");
    for (const ClawrdenRule& rule : policy_.rules) WriteRule(rule);
    WriteDefault();
    if (written_ > 0) head += "  rules:\n";
    return head + out_;
  }
  std::vector<Problem> TakeProblems() { return std::move(problems_); }

 private:
  void Line(const std::string& line) { out_ += line + "\n"; }
  void Note(const policy::Position& at, std::string what) {
    problems_.push_back({at, std::move(what), "", ""});
  }

  static std::string ProfileName(const std::string& file) {
    std::string name;
    for (const char c : file.substr(0, file.rfind('.'))) {
      const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
      if (plain || (c == '-' && !name.empty())) name += c;
    }
    return name.empty() ? "clawrden" : name;
  }

  Milliseconds Wait(Milliseconds timeout) {
    return std::clamp(timeout, kShortestWait, kLongestWait);
  }

  void WriteDirectories() {
    for (const PolicyText& path : policy_.allowed_paths) {
      Directories directories = TranslateDirectory(path.text);
      if (!directories.expressible) Note(path.at, "this character class cannot be imported");
      if (directories.globs.empty()) {
        Line("# allowed_paths: " + policy::YamlScalar(path.text) + " never matched; left out.");
      }
      for (std::string& glob : directories.globs) cwd_.push_back(std::move(glob));
    }
    Line("# Commands run only in the directories of allowed_paths (`cwd` below), as there. In a");
    Line("# cell the workspace has its own path: add it where it is not one of them.");
    if (policy_.default_paths) Line("# The policy names none: Clawrden takes /app and /tmp then.");
  }

  // `anywhere`: also outside of `path`. An ask or a deny must not be missed; an allow must not
  // reach a file that the cell can write.
  Programs ProgramsOf(const PolicyText& command, bool anywhere) {
    if (command.text == "*") return {{"/**"}, ""};
    if (command.text.empty() || command.text.find('/') != std::string::npos) {
      return {{}, "Clawrden compares names without directories: this rule never matched"};
    }
    GoGlob glob = TranslateGlob(command.text);
    std::string note;
    if (!glob.valid) {
      glob.glob = AnyCase(command.text);
      note = "no valid pattern: compared as a name, in any case of its letters";
    } else if (!glob.expressible) {
      Note(command.at, "this character class cannot be imported");
    }
    if (glob.glob.starts_with("re:")) glob.glob = "\\" + glob.glob;
    std::vector<std::string> exe = {glob.glob};
    if (anywhere) exe.push_back("/**/" + glob.glob);
    return {std::move(exe), std::move(note)};
  }

  // The line of an earlier rule that takes every command of this one, 0: none. A rule that decides
  // nothing there is left out here, where an allow before it takes less.
  [[nodiscard]] int TakenBy(const ClawrdenRule& rule) const {
    for (const ClawrdenRule& earlier : policy_.rules) {
      if (&earlier == &rule) return 0;
      if (!earlier.arguments.empty()) continue;
      const std::string& taker = earlier.command.text;
      const std::string& taken = rule.command.text;
      bool takes = taker == "*" || taker == taken;
      const GoGlob glob = TranslateGlob(taker);
      if (!takes && glob.valid && !policy::HasGlobCharacters(taken)) {
        const auto compiled = policy::Glob::Compile(glob.glob, policy::GlobKind::kArgument);
        takes = compiled.ok() && compiled->Matches(taken);
      }
      if (takes) return earlier.at.line;
    }
    return 0;
  }

  void WriteRule(const ClawrdenRule& rule) {
    if (const int line = TakenBy(rule); line != 0) {
      return Line("    # line " + std::to_string(rule.at.line) + ": " +
                  policy::YamlScalar(rule.command.text) + ": never decided, line " +
                  std::to_string(line) + " comes first");
    }
    Programs programs = ProgramsOf(rule.command, rule.action != Action::kAllow);
    Line("    # line " + std::to_string(rule.at.line) + ": " +
         policy::YamlScalar(rule.command.text));
    if (!programs.note.empty()) Line("    # " + programs.note);
    if (rule.timeout.count() != 0 && rule.action != Action::kAsk) {
      Line("    # not imported: ends after " + policy::FormatDuration(rule.timeout));
    }
    if (programs.exe.empty()) return;
    // An empty pattern is in everything.
    const bool any = rule.arguments.empty() ||
                     std::any_of(rule.arguments.begin(), rule.arguments.end(),
                                 [](const PolicyText& pattern) { return pattern.text.empty(); });
    if (any) return WriteOne(rule, programs.exe, {});
    for (const PolicyText& pattern : rule.arguments) {
      const auto lists = TranslateArgument(pattern.text);
      if (!lists) {
        Note(pattern.at, "an argument pattern with more than " + std::to_string(kMostSpaces) +
                             " spaces cannot be imported");
        continue;
      }
      for (const std::vector<std::string>& list : *lists) WriteOne(rule, programs.exe, list);
    }
  }

  void WriteOne(const ClawrdenRule& rule, const std::vector<std::string>& exe,
                const std::vector<std::string>& arguments) {
    if (rule.action != Action::kDeny && cwd_.empty()) {
      return Line("    # left out: there is no directory in which a command may run");
    }
    ++written_;
    std::string when = "exe: " + List(exe);
    if (!arguments.empty()) when += ", args: " + List(arguments);
    if (rule.action != Action::kDeny) when += ", cwd: " + List(cwd_);
    Line("    - when: {" + when + "}");
    Line(std::string("      then: ") + policy::ActionName(rule.action));
    if (!rule.reason.empty()) Line("      reason: " + policy::YamlScalar(rule.reason));
    if (rule.action == Action::kAsk && rule.timeout.count() != 0) {
      Line("      timeout: " + policy::FormatDuration(Wait(rule.timeout)));
    }
  }

  void WriteDefault() {
    if (policy_.default_action == Action::kDeny || cwd_.empty()) return;
    ++written_;
    Line("    # default_action");
    Line("    - when: {exe: \"/**\", cwd: " + List(cwd_) + "}");
    Line(std::string("      then: ") + policy::ActionName(policy_.default_action));
  }

  const ClawrdenPolicy& policy_;
  const policy::Source& source_;
  std::vector<std::string> cwd_;
  std::string out_;
  int written_ = 0;  // rules
  std::vector<Problem> problems_;
};

}  // namespace

policy::Checked<Imported> ImportClawrden(const policy::Source& source) {
  auto policy = ReadClawrdenPolicy(source);
  if (!policy.ok()) return policy.problems();
  Writer writer(policy.value(), source);
  Imported imported{.profile = writer.Write(), .notes = {}};
  std::vector<Problem> problems = writer.TakeProblems();
  if (!problems.empty()) return problems;
  // What no profile can be is said now and not when it is used.
  const auto checked = policy::ReadExtends({"", "the imported profile", imported.profile});
  if (!checked.ok()) return checked.problems();
  return imported;
}

}  // namespace cellrun::import
