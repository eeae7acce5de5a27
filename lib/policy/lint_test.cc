// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/lint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "lib/policy/document_fixture.h"
#include "lib/policy/rule_cover.h"

namespace cellrun::policy {
namespace {

using testing::HasSubstr;

// Every bare name is there, but "nonesuch"; python and python3 are one file.
std::optional<FileFacts> Look(const std::string& path) {
  const std::string name = path.substr(path.rfind('/') + 1);
  if (!path.starts_with("/usr/bin/") || name == "nonesuch") return std::nullopt;
  const std::string real = name == "python" ? "/usr/bin/python3" : path;
  return FileFacts{{8, std::hash<std::string>()(real)}, real};
}

std::vector<Finding> LintText(const std::vector<Source>& sources) {
  const LintFacts facts{.places = fixture::kPlaces,
                        .lookup = Look,
                        .now = std::chrono::sys_days(std::chrono::year(2025) / 6 / 1)};
  return Lint(fixture::Load(sources), facts);
}
std::vector<Finding> LintText(const std::string& body) {
  return LintText(std::vector<Source>{fixture::Body(body)});
}

// "CR-L001:5 …" for what is not a note, or for all.
std::vector<std::string> Codes(const std::vector<Finding>& findings, bool notes = false) {
  std::vector<std::string> codes;
  for (const Finding& finding : findings) {
    if (finding.severity == Severity::kNote && !notes) continue;
    codes.push_back(finding.code + ":" + std::to_string(finding.at.line));
  }
  return codes;
}
using Strings = std::vector<std::string>;

std::string Rules(const std::string& rules, const std::string& standard = "deny") {
  return "commands:\n  default: " + standard + "\n  rules:\n" + rules;
}

TEST(LintTest, RuleBehindAWiderOneIsUnreachable) {
  EXPECT_EQ(Codes(LintText(Rules("    - {when: {exe: git}, then: allow}\n"
                                 "    - {when: {exe: git, args: [log]}, then: allow}\n"))),
            Strings{"CR-L001:6"});
  EXPECT_EQ(Codes(LintText(Rules("    - {when: {exe: \"/usr/bin/*\"}, then: deny}\n"
                                 "    - {when: {exe: [git, ls]}, then: allow}\n"))),
            Strings{"CR-L001:6"});
  EXPECT_EQ(Codes(LintText(Rules("    - {when: {writable: true}, then: deny}\n"
                                 "    - {when: {exe: ./x, writable: true}, then: deny}\n"))),
            Strings{"CR-L001:6"});
}

TEST(LintTest, TwoNamesOfOneFileAreOneProgram) {
  EXPECT_EQ(Codes(LintText(Rules("    - {when: {exe: python}, then: deny}\n"
                                 "    - {when: {exe: python3}, then: allow}\n"))),
            Strings{"CR-L001:6"});
}

TEST(LintTest, AllowThatIsBroaderThanADenyBelowIsAnError) {
  const auto whole =
      LintText(Rules("    - {name: all, when: {exe: git}, then: allow}\n"
                     "    - {name: no push, when: {exe: git, args: [push, \"**\"]}, "
                     "then: deny}\n"));
  ASSERT_EQ(Codes(whole), Strings{"CR-L002:6"});
  EXPECT_EQ(whole[0].severity, Severity::kError);
  EXPECT_THAT(whole[0].text, HasSubstr("'no push' never decides: 'all' comes first"));
  const auto part =
      LintText(Rules("    - {when: {exe: git}, then: allow}\n"
                     "    - {when: {exe: [git, sudo]}, then: deny}\n"));
  ASSERT_EQ(Codes(part), Strings{"CR-L002:6"});
  EXPECT_THAT(part[0].text, HasSubstr("does not hold for git"));
}

TEST(LintTest, RulesThatOnlySeemToOverlapAreLeftAlone) {
  for (const char* rules : {
           "    - {when: {exe: git, args: [log, \"**\"]}, then: allow}\n"
           "    - {when: {exe: git, args: [push, \"**\"]}, then: deny}\n",
           "    - {when: {exe: git, cwd: ./a}, then: allow}\n"
           "    - {when: {exe: git}, then: deny}\n",
           "    - {when: {exe: [git], args: [\"*\"]}, then: allow}\n"
           "    - {when: {exe: [git], args: [\"**\"]}, then: deny}\n",
           "    - {when: {exe: \"/usr/**\"}, then: allow}\n"
           "    - {when: {exe: \"/usr/**\", anonymous: true}, then: allow}\n",
           "    - {when: {exe: git, parent: bash}, then: ask}\n"
           "    - {when: {exe: git}, then: allow}\n",
           "    - {when: {exe: git, args-none: [\"-f\", \"-g\"]}, then: allow}\n"
           "    - {when: {exe: git, args-none: [\"-f\"]}, then: deny}\n",
           "    - {when: {script: ./x}, then: allow}\n"
           "    - {when: {exe: ./x}, then: deny}\n",
       }) {
    EXPECT_EQ(Codes(LintText(Rules(rules))), Strings{}) << rules;
  }
}

TEST(LintTest, OverridingAnInheritedRuleIsNoFault) {
  const auto findings = LintText({fixture::Body("extends: [base]\ncommands:\n  rules:\n"
                                                "    - {when: {exe: git}, then: allow}\n"),
                                  fixture::Body("commands:\n  default: deny\n  rules:\n"
                                                "    - {when: {exe: git}, then: deny}\n",
                                                Layer::kInherited, "base")});
  EXPECT_EQ(Codes(findings), Strings{});
  EXPECT_THAT(Codes(findings, true), testing::Contains("CR-L001:5"));
}

TEST(LintTest, ACopyEvadesADenyByNameUnlessWhatIsWrittenIsJudged) {
  const std::string deny = "    - {when: {exe: [curl]}, then: deny}\n";
  EXPECT_THAT(Codes(LintText(Rules(deny, "allow"))), testing::Contains("CR-L003:5"));
  EXPECT_EQ(Codes(LintText(Rules(deny, "ask"))), Strings{});
  EXPECT_EQ(Codes(LintText(Rules(deny + "    - {when: {writable: true}, then: ask}\n", "allow"))),
            Strings{});
  EXPECT_EQ(Codes(LintText("filesystem:\n  workspace: ro\n"
                           "  noexec: [\"~\", /tmp, /var/tmp, /run, /dev/shm]\n" +
                           Rules(deny, "allow"))),
            Strings{});
}

TEST(LintTest, PlacesWhereWrittenProgramsRunAreNamed) {
  const auto open = LintText("commands: {default: allow}\n");
  ASSERT_EQ(Codes(open), Strings{"CR-L004:2"});
  EXPECT_THAT(open[0].text, HasSubstr("/tmp"));
  EXPECT_EQ(Codes(LintText("commands: {default: deny}\n")), Strings{});
  const auto workspace = LintText(Rules("    - {when: {exe: \"./**\"}, then: allow}\n"));
  EXPECT_EQ(Codes(workspace), Strings{});
  EXPECT_THAT(Codes(workspace, true), testing::Contains("CR-L004:3"));
}

TEST(LintTest, PlacesThatARuleForWrittenProgramsAllowsAreMeant) {
  const auto meant =
      LintText(Rules("    - {when: {writable: true, exe: \"/tmp/**\"}, then: allow}\n"));
  EXPECT_EQ(Codes(meant), Strings{});
  EXPECT_THAT(Codes(meant, true), testing::Contains("CR-L004:3"));
  EXPECT_EQ(Codes(LintText(Rules("    - {when: {exe: \"/tmp/**\"}, then: allow}\n"))),
            Strings{"CR-L004:3"});
}

TEST(LintTest, NamesThatAreNotOnThisMachineAreNoted) {
  EXPECT_EQ(Codes(LintText(Rules("    - {when: {exe: [git, nonesuch]}, then: allow}\n")), true),
            Strings{"CR-L005:5"});
}

TEST(LintTest, PatternsThatWalkTheWorkspaceAreNamed) {
  EXPECT_EQ(
      Codes(LintText("filesystem:\n  hide: [\"**/.env\", .secret]\n  protect: [\"a/**/b\"]\n")),
      (Strings{"CR-L006:3", "CR-L006:4"}));
}

TEST(LintTest, DestinationsThatAnybodyCanHaveAreNamed) {
  EXPECT_EQ(Codes(LintText("network:\n  rules:\n"
                           "    - {to: \"*.com\", then: allow}\n"
                           "    - {to: \"*.example.com\", then: allow}\n"
                           "    - {to: 0.0.0.0/0, then: ask}\n"
                           "    - {to: \"*.org\", then: deny}\n")),
            (Strings{"CR-L007:4", "CR-L007:6"}));
  EXPECT_EQ(Codes(LintText("network: {default: allow}\n")), Strings{"CR-L007:2"});
}

TEST(LintTest, ExpiredRulesAreNamedAndShadowNothing) {
  EXPECT_EQ(Codes(LintText(Rules("    - {when: {exe: git}, then: allow, expires: 2025-05-31}\n"
                                 "    - {when: {exe: git}, then: deny}\n"))),
            Strings{"CR-L008:5"});
}

TEST(LintTest, GrantsOfCredentialsAndSocketsAreNamed) {
  EXPECT_EQ(Codes(LintText("filesystem:\n"
                           "  read:\n"
                           "    - ~/.ssh/id_ed25519\n"
                           "    - /etc/shadow\n"
                           "    - ~/.gitconfig\n"
                           "    - \"~\"\n"
                           "    - /run/user/1000/docker.sock\n"
                           "  write:\n"
                           "    - /var/run/docker.sock\n"
                           "    - ~/.cache/npm\n")),
            (Strings{"CR-L009:4", "CR-L009:5", "CR-L009:7", "CR-L010:8", "CR-L010:10"}));
}

TEST(LintTest, VariablesThatCarryCredentialsAreNamed) {
  EXPECT_EQ(Codes(LintText("environment:\n  pass: [LANG, \"*_TOKEN\", SSH_AUTH_SOCK, LC_*]\n")),
            (Strings{"CR-L012:3", "CR-L010:3"}));
}

TEST(LintTest, InterpretersWithAnyArgumentsAreNoted) {
  EXPECT_EQ(Codes(LintText(Rules("    - {when: {exe: [bash, ls]}, then: allow}\n"
                                 "    - {when: {exe: perl, args: [x.pl]}, then: allow}\n")),
                  true),
            Strings{"CR-L011:5"});
}

TEST(LintTest, PathThatTheCellCanWriteIsAnError) {
  const auto findings = LintText("path: [~/bin, /usr/bin]\n");
  ASSERT_EQ(Codes(findings), Strings{"CR-L013:2"});
  EXPECT_EQ(findings[0].severity, Severity::kError);
}

TEST(LintTest, UsernsAndWhatItTakesBack) {
  EXPECT_EQ(Codes(LintText("syscalls: {rules: [{name: ptrace, then: allow}]}\n")), Strings{});
  EXPECT_EQ(Codes(LintText("syscalls: {rules: [{name: userns, then: deny}]}\n")), Strings{});
  const auto findings = LintText(
      "syscalls: {rules: [{name: userns, then: allow}]}\n"
      "filesystem: {noexec: [/tmp]}\n"
      "commands: {rules: [{when: {exe: /usr/bin/make, cwd: ./x}, then: allow}]}\n");
  EXPECT_EQ(Codes(findings), (Strings{"CR-L014:2", "CR-L014:3", "CR-L014:4"}));
}

TEST(LintTest, WhatDoesNotCompileIsOneFindingEach) {
  Profile profile;
  CommandRule rule;
  rule.when.exe = {"git"};
  rule.when.parent = {"bash"};
  rule.then = Action::kAllow;
  rule.at = {"p.yaml", 5, 3};
  profile.command_rules.push_back(rule);
  const auto findings = Lint(profile, {.places = fixture::kPlaces, .lookup = Look});
  ASSERT_EQ(Codes(findings), Strings{"CR-L000:5"});
  EXPECT_THAT(findings[0].ToString(), HasSubstr("error: 'parent' in a rule that allows"));
}

TEST(LintTest, TenThousandRulesAreNoReasonToWait) {
  Profile profile;
  profile.command_default.value = Action::kDeny;
  profile.network_default.value = Action::kDeny;
  profile.path.push_back({.value = "/usr/bin", .at = {}, .layer = Layer::kProfile});
  for (int i = 0; i <= 10000; ++i) {
    CommandRule rule;
    rule.when.exe = {"tool" + std::to_string(i == 10000 ? 77 : i)};
    rule.then = i == 10000 ? Action::kDeny : Action::kAllow;
    rule.at = {"p.yaml", i + 1, 1};
    profile.command_rules.push_back(rule);
  }
  const auto start = std::chrono::steady_clock::now();
  const auto findings = Lint(profile, {.places = fixture::kPlaces, .lookup = Look});
  EXPECT_EQ(Codes(findings), Strings{"CR-L002:10001"});
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(ArgumentsCoverTest, HoldsOnlyWhereEveryListIsTaken) {
  EXPECT_TRUE(ArgumentsCover({"**"}, {"push", "**"}));
  EXPECT_TRUE(ArgumentsCover({"push", "**"}, {"push", "origin"}));
  EXPECT_TRUE(ArgumentsCover({"*", "**"}, {"push", "**"}));
  EXPECT_TRUE(ArgumentsCover({"**", "push", "**"}, {"-C", "x", "push"}));
  EXPECT_TRUE(ArgumentsCover({"p*"}, {"push"}));
  EXPECT_FALSE(ArgumentsCover({"push"}, {"push", "**"}));
  EXPECT_FALSE(ArgumentsCover({"push", "**"}, {"**"}));
  EXPECT_FALSE(ArgumentsCover({"*"}, {"**"}));
  EXPECT_FALSE(ArgumentsCover({"p*"}, {"pu*"}));  // true, but not certain to a simple reader
  EXPECT_TRUE(ArgumentsCover({}, {}));
  EXPECT_FALSE(ArgumentsCover({}, {"x"}));
}

}  // namespace
}  // namespace cellrun::policy
