// SPDX-License-Identifier: Apache-2.0
#include "lib/import/clawrden.h"

#include <fnmatch.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "lib/import/clawrden_patterns.h"
#include "lib/policy/profile_test.h"

namespace cellrun::import {
namespace {

using policy::Action;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Words = std::vector<std::string>;

const policy::Places kPlaces{.home = "/home/u", .workspace = "/app"};

policy::Source PolicyFile(const std::string& text) {
  return {"", "/p/policy.yaml", text, policy::Layer::kProfile};
}

std::string Import(const std::string& text) {
  const auto imported = ImportClawrden(PolicyFile(text));
  if (imported.ok()) return imported.value().profile;
  for (const auto& problem : imported.problems()) ADD_FAILURE() << problem.ToString();
  return "";
}

std::vector<std::string> ProblemsOf(const std::string& text) {
  std::vector<std::string> problems;
  const auto imported = ImportClawrden(PolicyFile(text));
  EXPECT_FALSE(imported.ok()) << text;
  if (imported.ok()) return problems;
  for (const auto& problem : imported.problems()) problems.push_back(problem.ToString());
  return problems;
}

// What the imported profile decides. Programs without a slash lie in /usr/bin.
Action Decide(const std::string& profile_text, const Words& command, const std::string& cwd) {
  auto profile = policy::LoadProfile({{"", "/p/imported.yaml", profile_text}}, kPlaces);
  EXPECT_TRUE(profile.ok()) << profile_text;
  if (!profile.ok()) return Action::kDeny;
  policy::TestCase test;
  test.exec = command;
  test.cwd = cwd;
  profile.value().tests = {test};
  const auto outcomes = policy::RunProfileTests(
      profile.value(), kPlaces,
      [](const std::string&) -> std::optional<policy::ProgramFacts> { return std::nullopt; });
  EXPECT_TRUE(outcomes.ok());
  return outcomes.ok() ? outcomes.value().front().got : Action::kDeny;
}

// Clawrden's decision, from the description of its behaviour: the working directory first, then the
// first rule whose command matches the last part of the name and of whose patterns one stands in
// the arguments joined by spaces, then the default.
struct Rule {
  std::string command;
  Action action;
  Words arguments = {};
};
struct Policy {
  Action standard = Action::kDeny;
  Words paths = {"/app/*", "/tmp/*"};
  std::vector<Rule> rules;

  [[nodiscard]] bool Allows(const std::string& cwd) const {
    for (const std::string& path : paths) {
      if (fnmatch(path.c_str(), cwd.c_str(), FNM_PATHNAME) == 0 || cwd == path) return true;
      if (!path.ends_with("/*")) continue;
      const std::string prefix = path.substr(0, path.size() - 2);
      if (cwd == prefix || cwd.starts_with(prefix + "/")) return true;
    }
    return false;
  }
  [[nodiscard]] Action Decide(const Words& command, const std::string& cwd) const {
    if (!Allows(cwd)) return Action::kDeny;
    const std::string name = command[0].substr(command[0].rfind('/') + 1);
    std::string joined;
    for (std::size_t i = 1; i < command.size(); ++i) joined += (i > 1 ? " " : "") + command[i];
    for (const Rule& rule : rules) {
      if (rule.command != "*" && fnmatch(rule.command.c_str(), name.c_str(), 0) != 0) continue;
      bool matches = rule.arguments.empty();
      for (const std::string& text : rule.arguments) {
        matches = matches || joined.find(text) != std::string::npos;
      }
      if (matches) return rule.action;
    }
    return standard;
  }
  [[nodiscard]] std::string Yaml() const {
    const auto list = [](const Words& words) {
      std::string text = "[";
      for (const std::string& word : words) text += "'" + word + "', ";
      return text + "]";
    };
    std::string yaml = std::string("default_action: ") + policy::ActionName(standard) +
                       "\nallowed_paths: " + list(paths) + "\nrules:\n";
    for (const Rule& rule : rules) {
      yaml += "  - {command: '" + rule.command + "', action: " + policy::ActionName(rule.action);
      if (!rule.arguments.empty()) yaml += ", args: " + list(rule.arguments);
      yaml += "}\n";
    }
    return yaml;
  }
};

const std::vector<Words> kCommands = {
    {"ls"},
    {"ls", "-l", "/"},
    {"rm", "x"},
    {"rm", "-rf", "/"},
    {"rm", "-rf", "/home"},
    {"rm", "-rf /"},
    {"rm", "-r", "-f", "/"},
    {"rm", "x-rf", "/y"},
    {"rm", "-rf", "", "/"},
    {"/opt/tools/rm", "-rf", "/"},
    {"npm", "install"},
    {"npm", "run", "build"},
    {"test-one"},
    {"test-"},
    {"tests"},
    {"git", "push", "origin", "main"},
    {"git", "-c", "a=b", "push"},
    {"git", "commit", "-m", "git push --force now"},
    {"git", "push", "--force"},
    {"python3", "-c", "print(1)"},
    {"g++", "-c", "a{b}.cc"},
    {"git", "a*b"},
    {"git", "axb"},
    {"git", "re:x"},
    {"cargo"},
    {"unknown", "--", "x"},
};
const Words kDirectories = {"/app",
                            "/app/sub/dir",
                            "/tmp",
                            "/tmp/x",
                            "/application",
                            "/etc",
                            "/home/u/workspace",
                            "/home/u/workspace/p",
                            "/home/u/workspace/p/q",
                            "/srv/a",
                            "/srv/b",
                            "/"};

const std::vector<Policy> kPolicies = {
    {Action::kDeny, {"/app/*", "/tmp/*"}, {{"ls", Action::kAllow}, {"npm", Action::kAsk}}},
    {Action::kAsk,
     {"/app/*", "/tmp/*"},
     {{"rm", Action::kDeny, {"-rf /", "-rf /*"}}, {"rm", Action::kAsk}, {"ls", Action::kAllow}}},
    {Action::kAllow,
     {"/app/*"},
     {{"rm", Action::kDeny, {"-rf /"}},
      {"git", Action::kAsk, {"push"}},
      {"g++", Action::kDeny},
      {"test-*", Action::kAsk}}},
    {Action::kDeny, {"/app/*"}, {{"test-*", Action::kAllow}, {"test?", Action::kAsk}}},
    {Action::kDeny, {"/app/*"}, {{"[a-gn]*", Action::kAllow}, {"[^a-z]*", Action::kAsk}}},
    {Action::kDeny,
     {"/app/*"},
     {{"git", Action::kDeny, {"push --force", "a*b", "re:"}},
      {"git", Action::kAllow, {"push", "commit"}},
      {"git", Action::kAsk}}},
    {Action::kDeny, {"/app/*"}, {{"*", Action::kDeny, {"-c"}}, {"*", Action::kAllow}}},
    {Action::kAsk, {"/home/*/workspace/*", "/srv/[a]", "/app"}, {{"ls", Action::kAllow}}},
    {Action::kAllow, {"/*"}, {}},
    {Action::kAllow, {"/"}, {{"ls", Action::kDeny}}},
    {Action::kAsk, {"relative/*"}, {{"ls", Action::kAllow}}},
    {Action::kDeny,
     {"/app/*"},
     {{"git", Action::kAsk, {"a b c", " "}}, {"cargo", Action::kAsk, {""}}}},
};

TEST(ClawrdenTest, DecidesAsClawrdenDoesOrMoreStrictly) {
  int same = 0;
  int stricter = 0;
  for (const Policy& policy : kPolicies) {
    const std::string profile = Import(policy.Yaml());
    for (const Words& command : kCommands) {
      for (const std::string& cwd : kDirectories) {
        const Action theirs = policy.Decide(command, cwd);
        const Action ours = Decide(profile, command, cwd);
        const bool in_path = command[0].find('/') == std::string::npos;
        // From looser to stricter: allow, ask, deny.
        EXPECT_GE(static_cast<int>(ours), static_cast<int>(theirs))
            << policy.Yaml() << testing::PrintToString(command) << " in " << cwd << "\n"
            << profile;
        if (in_path) {
          EXPECT_EQ(ours, theirs) << policy.Yaml() << testing::PrintToString(command) << " in "
                                  << cwd << "\n"
                                  << profile;
        }
        ++(ours == theirs ? same : stricter);
      }
    }
  }
  EXPECT_GT(same, 3000);
}

TEST(ClawrdenTest, OrdersVerdictsFromLooseToStrict) {
  // What the comparison above stands on.
  EXPECT_LT(static_cast<int>(Action::kAllow), static_cast<int>(Action::kAsk));
  EXPECT_LT(static_cast<int>(Action::kAsk), static_cast<int>(Action::kDeny));
}

TEST(ClawrdenTest, AnAllowDoesNotReachWhatTheCellCanWrite) {
  const std::string profile = Import("rules: [{command: ls, action: allow}]\n");
  EXPECT_EQ(Decide(profile, {"ls"}, "/app"), Action::kAllow);
  EXPECT_EQ(Decide(profile, {"/app/ls"}, "/app"), Action::kDeny);
  EXPECT_THAT(profile, HasSubstr("`allow` is for programs that are found in `path`"));
}

TEST(ClawrdenTest, TakesClawrdensDefaults) {
  for (const char* text : {"{}", "rules: []\n", "allowed_paths: []\ndefault_timeout: 0s\n"}) {
    const std::string profile = Import(text);
    EXPECT_THAT(profile, AllOf(HasSubstr("approvals: {timeout: 2m}"), HasSubstr("default: deny"),
                               HasSubstr("/app and /tmp")));
    EXPECT_EQ(Decide(profile, {"ls"}, "/app"), Action::kDeny);
  }
}

TEST(ClawrdenTest, TimeoutsBecomeWaitsAndSayWhatTheyAreNot) {
  const std::string profile = Import(
      "default_timeout: 1h30m\nrules:\n  - {command: npm, action: ask, timeout: 300s}\n"
      "  - {command: make, action: allow, timeout: 1.5m}\n"
      "  - {command: x, action: ask, timeout: 10ms}\n"
      "  - {command: y, action: ask, timeout: 2000000000}\n");
  EXPECT_THAT(profile,
              AllOf(HasSubstr("approvals: {timeout: 90m}"), HasSubstr("timeout: 5m\n"),
                    HasSubstr("# not imported: ends after 90s"), HasSubstr("timeout: 1s\n"),
                    HasSubstr("timeout: 2s\n"), HasSubstr("limits.time")));
}

TEST(ClawrdenTest, KeepsReasonsAndCarriesTheEnvironmentLists) {
  const std::string profile =
      Import("rules: [{command: rm, action: deny, reason: \"no: 'way' # \\\"x\\\"\"}]\n");
  EXPECT_THAT(profile,
              AllOf(HasSubstr("reason: \"no: 'way' # \\\"x\\\"\""), HasSubstr("PYTHONPATH"),
                    HasSubstr("CLAWRDEN_SOCKET"), HasSubstr("LD_PRELOAD")));
  auto loaded = policy::LoadProfile({{"", "/p/x.yaml", profile}}, kPlaces);
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded.value().command_rules.at(0).reason, "no: 'way' # \"x\"");
}

TEST(ClawrdenTest, SaysWhatNeverMatched) {
  EXPECT_THAT(Import("allowed_paths: [app, /app/*]\nrules: [{command: /bin/ls, action: allow}]\n"
                     "jails: {mine: {commands: [ls], hardened: true}}\n"),
              AllOf(HasSubstr("# allowed_paths: app never matched"),
                    HasSubstr("this rule never matched"), HasSubstr("# jails: mine")));
  const std::string broken = Import("rules: [{command: 'Ls[', action: allow}]\n");
  EXPECT_THAT(broken, HasSubstr("no valid pattern"));
  EXPECT_EQ(Decide(broken, {"lS["}, "/app"), Action::kAllow);
  EXPECT_EQ(Decide(broken, {"lS"}, "/app"), Action::kDeny);
}

TEST(ClawrdenTest, LeavesOutWhatNeverDecided) {
  const Policy policy{Action::kAsk,
                      {"/app/*"},
                      {{"git", Action::kAllow},
                       {"git", Action::kDeny, {"push"}},
                       {"l*", Action::kAsk},
                       {"ls", Action::kDeny}}};
  const std::string profile = Import(policy.Yaml());
  EXPECT_THAT(profile, AllOf(HasSubstr("line 5: git: never decided, line 4 comes first"),
                             HasSubstr("line 7: ls: never decided, line 6")));
  EXPECT_EQ(Decide(profile, {"git", "push"}, "/app"), Action::kAllow) << "as there";
  EXPECT_EQ(Decide(profile, {"ls"}, "/app"), Action::kAsk);
}

TEST(ClawrdenTest, NamesTheLineOfWhatIsWrong) {
  using testing::Contains;
  using testing::StartsWith;
  EXPECT_THAT(
      ProblemsOf("default_action: allow\nrule: []\n"),
      Contains(AllOf(StartsWith("/p/policy.yaml:2:1: unknown key 'rule'"), HasSubstr("rules"))));
  EXPECT_THAT(ProblemsOf("\"\\e]0;x\\a\": 1\n"),
              Contains(HasSubstr("unknown key '\\u{1b}]0;x\\u{7}'")));
  EXPECT_THAT(ProblemsOf("rules:\n  - {command: ls, action: block}\n"),
              Contains(StartsWith("/p/policy.yaml:2:27: unknown action 'block'")));
  EXPECT_THAT(ProblemsOf("rules:\n  - command: ls\n"), Contains(HasSubstr(":2:5: a rule without")));
  EXPECT_THAT(ProblemsOf("rules:\n  - {command: ls, action: deny, patterns: [x]}\n"),
              Contains(HasSubstr("unknown key 'patterns'")));
  EXPECT_THAT(ProblemsOf("default_timeout: soon\n"), Contains(HasSubstr(":1:18: 'soon' is not")));
  EXPECT_THAT(ProblemsOf("rules: {}\n"), Contains(HasSubstr("rules must be a list")));
  EXPECT_THAT(ProblemsOf("rules:\n  - {command: ls, action: deny, args: [a b c d e f]}\n"),
              Contains(HasSubstr("more than 4 spaces")));
  EXPECT_THAT(ProblemsOf("rules: [{command: 'l[,]', action: deny}]\n"),
              Contains(HasSubstr("character class")));
  EXPECT_THAT(ProblemsOf("- ls\n"), Contains(HasSubstr("a policy must be a mapping")));
  EXPECT_FALSE(ProblemsOf("rules: [\n").empty());
  EXPECT_FALSE(ProblemsOf("a: &x 1\nb: *x\n").empty());
}

TEST(ClawrdenTest, HostileTextStaysInItsPlace) {
  const std::string profile = Import(
      "rules:\n  - {command: \"a\\n    - when: {exe: x}\\n      then: allow\", action: deny}\n"
      "  - {command: ls, action: deny, reason: \"x\\n      then: allow\\e[2J\"}\n"
      "jails: {\"j\\nrules: []\": {commands: []}}\n");
  EXPECT_THAT(profile, AllOf(Not(HasSubstr("\033")), Not(HasSubstr("\n    - when: {exe: x}")),
                             Not(HasSubstr("\nrules: []"))));
}

}  // namespace
}  // namespace cellrun::import
