// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "lib/policy/policy_fixture.h"

namespace cellrun::policy {
namespace {

using testing::HasSubstr;

TEST_F(PolicyTest, DefaultAppliesWhereNoRuleMatchesAndIsNamed) {
  profile_.command_default = {
      .value = Action::kAsk, .at = {"p.yaml", 3, 5}, .layer = Layer::kInherited};
  const Verdict verdict = Compile()->Decide(Request("/usr/bin/ls"));
  EXPECT_EQ(verdict.action, Action::kAsk);
  EXPECT_EQ(verdict.rule.name, "default");
  EXPECT_EQ(verdict.rule.at.line, 3);
  EXPECT_EQ(verdict.rule.layer, Layer::kInherited);
  EXPECT_EQ(verdict.message, "");
}

TEST_F(PolicyTest, FirstMatchWins) {
  AddRule({.exe = {"git"}, .args = Strings{"push", "**"}}, Action::kAsk);
  AddRule({.exe = {"git"}}, Action::kAllow);
  AddRule({.exe = {"git"}}, Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/git", {"push", "origin"}), Action::kAsk);
  EXPECT_EQ(Decide("/usr/bin/git", {"log"}), Action::kAllow);
}

TEST_F(PolicyTest, OrderHoldsBetweenLiteralsAndGlobs) {
  AddRule({.exe = {"/usr/bin/g*"}, .args = Strings{"push"}}, Action::kDeny);
  AddRule({.exe = {"git"}}, Action::kAllow);
  AddRule({.exe = {"/usr/bin/*"}}, Action::kAsk);
  EXPECT_EQ(Decide("/usr/bin/git", {"push"}), Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/git", {"log"}), Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/ls"), Action::kAsk);
}

TEST_F(PolicyTest, BareNameIsTheFileInPathNotAnyFileOfThatName) {
  AddRule({.exe = {"git"}}, Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kAllow);
  EXPECT_EQ(Decide("/home/u/project/git"), Action::kDeny);
}

TEST_F(PolicyTest, NameBehindALinkIsItsTarget) {
  AddRule({.exe = {"python3"}}, Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/python3.11"), Action::kAllow);
}

TEST_F(PolicyTest, HardLinkIsTheSameProgram) {
  AddRule({.exe = {"sudo"}}, Action::kDeny);
  profile_.command_default.value = Action::kAllow;
  machine_.Add("/usr/bin/harmless", 5);
  EXPECT_EQ(Decide("/usr/bin/harmless"), Action::kDeny);
}

TEST_F(PolicyTest, NameThatIsNowhereMatchesNothing) {
  AddRule({.exe = {"nonesuch"}}, Action::kAllow);
  EXPECT_EQ(Decide("/home/u/project/nonesuch"), Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/ls"), Action::kDeny);
}

TEST_F(PolicyTest, WorkspaceLiteralHoldsForAFileThatABuildMakesLater) {
  AddRule({.exe = {"./configure"}}, Action::kAllow);
  EXPECT_EQ(Decide("/home/u/project/configure"), Action::kAllow);
  EXPECT_EQ(Decide("/home/u/configure"), Action::kDeny);
}

TEST_F(PolicyTest, WorkspaceAndHomePrefixesAreNotPatternsThemselves) {
  const Places odd{.home = "/home/u", .workspace = "/home/u/a[b]*"};
  profile_.command_rules = {Rule({.exe = {"./**"}}, Action::kAllow)};
  const auto policy = Policy::Compile(profile_, odd, machine_.Lookup(), now_).value();
  EXPECT_EQ(policy->Decide(Request("/home/u/a[b]*/x/y")).action, Action::kAllow);
  EXPECT_EQ(policy->Decide(Request("/home/u/abc/x")).action, Action::kDeny);
}

TEST_F(PolicyTest, GlobOfANameStaysInsidePath) {
  AddRule({.exe = {"python3*"}}, Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/python3.11"), Action::kAllow);
  EXPECT_EQ(Decide("/home/u/project/python3"), Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/python3/x"), Action::kDeny);
}

TEST_F(PolicyTest, ScriptThatNoRuleNamesIsDeniedAlthoughItsInterpreterIsAllowed) {
  AddRule({.exe = {"bash"}}, Action::kAllow);
  ExecRequest request = Request("/home/u/project/run.sh");
  request.images[0].kind = ExecImage::Kind::kScript;
  request.images.push_back(machine_.Image("/usr/bin/bash"));
  EXPECT_EQ(Decide(request), Action::kDeny);
  AddRule({.script = {"./run.sh"}}, Action::kAllow);
  EXPECT_EQ(Decide(request), Action::kAllow);
}

TEST_F(PolicyTest, StrictestLinkOfTheChainDecidesAndIsNamed) {
  AddRule({.script = {"./run.sh"}}, Action::kAllow).rewrite.args_append = {"--safe"};
  AddRule({.exe = {"bash"}}, Action::kAsk);
  ExecRequest request = Request("/home/u/project/run.sh");
  request.images[0].kind = ExecImage::Kind::kScript;
  request.images.push_back(machine_.Image("/usr/bin/bash"));
  const auto policy = Compile();
  const Verdict verdict = policy->Decide(request);
  EXPECT_EQ(verdict.action, Action::kAsk);
  EXPECT_EQ(verdict.image, 1U);
  EXPECT_EQ(verdict.rule.name, "rule1");
  // What is approved is still the command as the program's own rule rewrites it.
  ASSERT_NE(verdict.rewrite, nullptr);
  EXPECT_EQ(verdict.rewrite->args_append, Strings{"--safe"});
}

TEST_F(PolicyTest, AnInterpreterIsJudgedWithItsOwnArguments) {
  AddRule({.exe = {"bash"}, .args_any = {"push"}}, Action::kDeny);
  AddRule({.exe = {"bash"}}, Action::kAllow);
  AddRule({.script = {"./run.sh"}}, Action::kAllow);
  ExecRequest request = Request("/home/u/project/run.sh");
  request.images[0].kind = ExecImage::Kind::kScript;
  request.images.push_back(machine_.Image("/usr/bin/bash"));
  EXPECT_EQ(Decide(request), Action::kAllow);
  request.images[1].argv = {"/usr/bin/bash", "push", "./run.sh"};  // #!/usr/bin/bash push
  EXPECT_EQ(Decide(request), Action::kDeny);
}
TEST_F(PolicyTest, InterpreterConditionLooksAtTheChainBehindTheScript) {
  AddRule({.exe = {"bash", "env"}}, Action::kAllow);
  AddRule({.script = {"./**"}, .interpreter = {"env"}}, Action::kAllow);
  ExecRequest request = Request("/home/u/project/run.sh");
  request.images[0].kind = ExecImage::Kind::kScript;
  request.images.push_back(machine_.Image("/usr/bin/bash"));
  EXPECT_EQ(Decide(request), Action::kDeny);
  request.images.push_back(machine_.Image("/usr/bin/env"));
  EXPECT_EQ(Decide(request), Action::kAllow);
}

TEST_F(PolicyTest, ScriptConditionDoesNotMatchABinary) {
  AddRule({.script = {"./tool"}}, Action::kAllow);
  EXPECT_EQ(Decide("/home/u/project/tool"), Action::kDeny);
}

TEST_F(PolicyTest, AnonymousImageRunsOnlyUnderARuleThatNamesIt) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.exe = {"**"}}, Action::kAllow);
  ExecRequest request = Request("/memfd:x (deleted)");
  request.images[0].anonymous = true;
  EXPECT_EQ(Decide(request), Action::kDeny);
  EXPECT_EQ(Compile()->Decide(request).rule.name, "anonymous");
  AddRule({.anonymous = true}, Action::kAsk);
  EXPECT_EQ(Decide(request), Action::kAsk);
}

TEST_F(PolicyTest, AnonymousFalseNeverMatchesAnAnonymousImage) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.anonymous = false}, Action::kAllow);
  ExecRequest request = Request("/memfd:x (deleted)");
  request.images[0].anonymous = true;
  EXPECT_EQ(Decide(request), Action::kDeny);
}

TEST_F(PolicyTest, WritableImagesAreJudgedByTheirFact) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.writable = true}, Action::kDeny);
  ExecRequest request = Request("/tmp/x");
  EXPECT_EQ(Decide(request), Action::kAllow);
  request.images[0].writable = true;
  EXPECT_EQ(Decide(request), Action::kDeny);
}

TEST_F(PolicyTest, FloorDenyIsFinal) {
  AddRule({.exe = {"git"}}, Action::kDeny, Layer::kFloor);
  AddRule({.exe = {"git"}}, Action::kAllow, Layer::kCommandLine);
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kDeny);
}

TEST_F(PolicyTest, FloorAskIsALeastAndADenyBelowStillHolds) {
  AddRule({.exe = {"git"}}, Action::kAsk, Layer::kFloor);
  AddRule({.exe = {"git"}, .args = Strings{"push"}}, Action::kDeny);
  AddRule({.exe = {"git"}}, Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/git", {"push"}), Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/git", {"log"}), Action::kAsk);
  EXPECT_EQ(Compile()->Decide(Request("/usr/bin/git")).rule.layer, Layer::kFloor);
}

TEST_F(PolicyTest, FloorAllowRaisesItsCeilingButAllowsNothing) {
  AddRule({.exe = {"git"}}, Action::kAllow, Layer::kFloor);
  AddRule({.exe = {"/usr/bin/*"}}, Action::kDeny, Layer::kFloor);
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kDeny);  // by default
  EXPECT_EQ(Compile()->Decide(Request("/usr/bin/git")).rule.name, "default");
  AddRule({.exe = {"git", "ls"}}, Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/ls"), Action::kDeny);
}

TEST_F(PolicyTest, WorkspaceFileOnlyNarrows) {
  AddRule({.exe = {"sudo"}}, Action::kAllow, Layer::kWorkspace);
  AddRule({.exe = {"git"}}, Action::kAsk, Layer::kWorkspace);
  AddRule({.exe = {"ls"}}, Action::kDeny, Layer::kWorkspace);
  AddRule({.exe = {"git", "ls"}}, Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/sudo"), Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kAsk);
  EXPECT_EQ(Decide("/usr/bin/ls"), Action::kDeny);
}

TEST_F(PolicyTest, CommandLineGrantGoesBeforeTheProfile) {
  AddRule({.exe = {"git"}}, Action::kAllow, Layer::kCommandLine);
  AddRule({.exe = {"git"}}, Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kAllow);
}

TEST_F(PolicyTest, ParentInARuleThatAllowsDoesNotCompile) {
  AddRule({.exe = {"git"}, .parent = {"bash"}}, Action::kAllow);
  EXPECT_THAT(CompileProblem(), HasSubstr("'parent' in a rule that allows"));
}

TEST_F(PolicyTest, ParentNeverLoosensWhatARuleBelowSays) {
  AddRule({.exe = {"git"}, .parent = {"bash"}}, Action::kAsk);
  AddRule({.exe = {"git"}}, Action::kDeny);
  AddRule({.exe = {"ls"}, .parent = {"bash"}}, Action::kAsk);
  AddRule({.exe = {"ls"}}, Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/ls"), Action::kAsk);
  ExecRequest other = Request("/usr/bin/ls");
  other.parent = "/usr/bin/git";
  EXPECT_EQ(Decide(other), Action::kAllow);
}

TEST_F(PolicyTest, ExpiredRulesAreGone) {
  AddRule({.exe = {"git"}}, Action::kAllow).expires = "2025-06-01";
  AddRule({.exe = {"ls"}}, Action::kAllow).expires = "2025-06-02";
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/ls"), Action::kAllow);
  EXPECT_EQ(Compile()->NextExpiry(), now_ + std::chrono::hours(24));
  AddRule({.exe = {"ls"}}, Action::kAllow).expires = "soon";
  EXPECT_THAT(CompileProblem(), HasSubstr("no date"));
}

// Without being made again; `why` says the same.
TEST_F(PolicyTest, ARuleExpiresWhileThePolicyIsInUse) {
  constexpr std::chrono::milliseconds kLife{300};
  AddRule({.exe = {"git"}}, Action::kAllow).expires = "2025-06-02";
  AddRule({.exe = {"git"}}, Action::kAsk);
  now_ += std::chrono::hours(24) - kLife;
  const auto before = std::chrono::steady_clock::now();
  const auto policy = Compile();
  const auto made = std::chrono::steady_clock::now();
  const ExecRequest git = Request("/usr/bin/git");
  const Action first = policy->Decide(git).action;
  if (std::chrono::steady_clock::now() - before < kLife) {
    EXPECT_EQ(first, Action::kAllow);
  }
  while (std::chrono::steady_clock::now() - made < kLife + std::chrono::milliseconds(1)) {
    std::this_thread::yield();
  }
  EXPECT_EQ(policy->Decide(git).action, Action::kAsk);
  EXPECT_EQ(policy->Decide(git).rule.name, "rule1");
  EXPECT_EQ(policy->Explain(git)[0].failed, "expires: 2025-06-02 is past");
  EXPECT_FALSE(policy->Explain(git)[0].matched);
}

TEST_F(PolicyTest, UniformIsNotSaidOfRulesThatExpire) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.anonymous = true}, Action::kAllow).expires = "2025-06-02";
  EXPECT_EQ(Compile()->Uniform(), std::nullopt);
  profile_.command_rules[0].expires = "";
  EXPECT_EQ(Compile()->Uniform(), Action::kAllow);
}

TEST_F(PolicyTest, EnvironmentConditionsSeeEveryOccurrence) {
  AddRule({.exe = {"git"}, .env = {{"MODE", "bad*"}}}, Action::kAsk);
  AddRule({.exe = {"git"}, .env = {{"MODE", "good"}}}, Action::kAllow);
  AddRule({.exe = {"ls"}, .env = {{"LD_PRELOAD", std::nullopt}}}, Action::kAllow);
  ExecRequest git = Request("/usr/bin/git");
  git.env = {"MODE=good"};
  EXPECT_EQ(Decide(git), Action::kAllow);
  git.env = {"MODE=good", "MODE=other"};
  EXPECT_EQ(Decide(git), Action::kDeny);
  git.env = {"MODE=good", "MODE=badly"};
  EXPECT_EQ(Decide(git), Action::kAsk);
  git.env = {"MODERN=good"};
  EXPECT_EQ(Decide(git), Action::kDeny);
  ExecRequest ls = Request("/usr/bin/ls");
  EXPECT_EQ(Decide(ls), Action::kAllow);
  ls.env = {"LD_PRELOAD="};
  EXPECT_EQ(Decide(ls), Action::kDeny);
}

TEST_F(PolicyTest, EveryOtherConditionNarrowsItsRule) {
  const auto only = [&](When when) {
    profile_.command_rules.clear();
    AddRule(std::move(when), Action::kAllow);
  };
  ExecRequest request = Request("/usr/bin/git", {"commit", "--amend"});
  only({.args_any = {"--am*"}});
  EXPECT_EQ(Decide(request), Action::kAllow);
  only({.args_any = {"--no-*"}});
  EXPECT_EQ(Decide(request), Action::kDeny);
  only({.args_none = {"--amend"}});
  EXPECT_EQ(Decide(request), Action::kDeny);
  only({.args_none = {"git"}});  // argv[0] is no argument
  request.argv[0] = "git";
  EXPECT_EQ(Decide(request), Action::kAllow);
  only({.cwd = {"./**"}});
  EXPECT_EQ(Decide(request), Action::kAllow);
  only({.cwd = {"./sub"}});
  EXPECT_EQ(Decide(request), Action::kDeny);
  only({.user = {"1000"}});
  EXPECT_EQ(Decide(request), Action::kAllow);
  only({.user = {"root", "0"}});
  EXPECT_EQ(Decide(request), Action::kDeny);
  only({.tty = true});
  EXPECT_EQ(Decide(request), Action::kDeny);
  only({.hash = {std::string(64, 'a')}});
  EXPECT_EQ(Decide(request), Action::kDeny);
  request.images[0].hash = std::string(64, 'a');
  EXPECT_EQ(Decide(request), Action::kAllow);
}

TEST_F(PolicyTest, MissingHashDoesNotSlipPastARuleThatDenies) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.exe = {"git"}, .hash = {std::string(64, 'a')}}, Action::kDeny);
  const auto policy = Compile();
  ExecRequest request = Request("/usr/bin/git");
  EXPECT_TRUE(policy->NeedsHash(request.images[0]));
  EXPECT_FALSE(policy->NeedsHash(machine_.Image("/usr/bin/ls")));
  EXPECT_EQ(policy->Decide(request).action, Action::kDeny);
  request.images[0].hash = std::string(64, 'b');
  EXPECT_EQ(policy->Decide(request).action, Action::kAllow);
}

TEST_F(PolicyTest, RequestWithoutImagesIsDenied) {
  profile_.command_default.value = Action::kAllow;
  EXPECT_EQ(Compile()->Decide(ExecRequest{}).action, Action::kDeny);
}

TEST_F(PolicyTest, UniformOnlyWhereEveryImageGetsTheSame) {
  profile_.command_default.value = Action::kDeny;
  EXPECT_EQ(Compile()->Uniform(), Action::kDeny);
  profile_.command_default.value = Action::kAllow;
  EXPECT_EQ(Compile()->Uniform(), std::nullopt);  // anonymous images are denied
  AddRule({.anonymous = true}, Action::kAllow);
  EXPECT_EQ(Compile()->Uniform(), Action::kAllow);
  AddRule({.exe = {"git"}}, Action::kAllow).rewrite.args_append = {"x"};
  EXPECT_EQ(Compile()->Uniform(), std::nullopt);
  profile_.command_rules.pop_back();
  AddRule({.exe = {"git"}}, Action::kAsk);
  EXPECT_EQ(Compile()->Uniform(), std::nullopt);
}

TEST_F(PolicyTest, UniformLooksNoFurtherThanTheRuleThatMatchesEverything) {
  AddRule({.exe = {"**"}}, Action::kAllow);
  EXPECT_EQ(Compile()->Uniform(), std::nullopt);
  AddRule({.anonymous = true}, Action::kAllow);
  AddRule({.exe = {"sudo"}}, Action::kDeny);
  EXPECT_EQ(Compile()->Uniform(), Action::kAllow);
  AddRule({.exe = {"git"}}, Action::kAsk, Layer::kProfile);
  std::rotate(profile_.command_rules.begin(), profile_.command_rules.end() - 1,
              profile_.command_rules.end());
  EXPECT_EQ(Compile()->Uniform(), std::nullopt);
}

TEST_F(PolicyTest, AuditLevelChoosesWhatIsRecorded) {
  AddRule({.exe = {"git"}}, Action::kAllow);
  profile_.audit_commands.value = AuditLevel::kDenied;
  EXPECT_FALSE(Compile()->Decide(Request("/usr/bin/git")).audit);
  EXPECT_TRUE(Compile()->Decide(Request("/usr/bin/ls")).audit);
  profile_.audit_commands.value = AuditLevel::kNone;
  EXPECT_FALSE(Compile()->Decide(Request("/usr/bin/ls")).audit);
  profile_.command_rules[0].audit_sync = true;
  EXPECT_TRUE(Compile()->Decide(Request("/usr/bin/git")).audit);
}

TEST_F(PolicyTest, PatternsThatAreWrongOrTooLargeAreProblemsWithTheirPlace) {
  AddRule({.exe = {"/usr/bin/[a"}}, Action::kAllow).at = {"p.yaml", 7, 3};
  EXPECT_EQ(CompileProblem(), "exe: /usr/bin/[a: '[' is not closed");
  profile_.command_rules[0].when = {.exe = {"bin/tool"}};
  EXPECT_THAT(CompileProblem(), HasSubstr("expected a bare name"));
  profile_.command_rules[0].when = {.exe = {"/usr/../bin/tool"}};
  EXPECT_THAT(CompileProblem(), HasSubstr("no canonical path"));
  profile_.command_rules[0].when = {.args = Strings{std::string(1100, '?')}};
  EXPECT_THAT(CompileProblem(), HasSubstr("too many parts"));
  profile_.command_rules[0].when = {.args = Strings(300, "a")};
  EXPECT_THAT(CompileProblem(), HasSubstr("more than 256"));
}

TEST_F(PolicyTest, ExplainNamesTheConditionThatFailed) {
  AddRule({.exe = {"git"}, .args = Strings{"push", "**"}}, Action::kAsk);
  AddRule({.exe = {"nonesuch"}}, Action::kAllow);
  AddRule({.exe = {"ls"}}, Action::kAllow);
  AddRule({.exe = {"git"}}, Action::kAllow);
  AddRule({.writable = false}, Action::kAsk);
  const auto trials = Compile()->Explain(Request("/usr/bin/git", {"pull"}));
  ASSERT_EQ(trials.size(), 5U);
  EXPECT_EQ(trials[0].failed, "args: 'pull' is not 'push'");
  EXPECT_EQ(trials[1].failed, "exe: 'nonesuch' is nowhere in the profile's path");
  EXPECT_EQ(trials[2].failed, "exe: '/usr/bin/git' is another program");
  EXPECT_TRUE(trials[3].matched && trials[3].decided);
  EXPECT_TRUE(trials[4].matched && !trials[4].decided);
}

TEST_F(PolicyTest, ExplainEndsWithTheDefaultWhereItDecided) {
  AddRule({.exe = {"ls"}}, Action::kAllow);
  const auto trials = Compile()->Explain(Request("/usr/bin/git"));
  ASSERT_EQ(trials.size(), 2U);
  EXPECT_EQ(trials[1].rule.name, "default");
  EXPECT_TRUE(trials[1].decided);
}

// The bound is for a debug build on a busy machine; the figure is printed for the record.
TEST_F(PolicyTest, TenThousandLiteralRulesCostNoMoreThanTen) {
  for (const int count : {10, 1000, 10000}) {
    profile_.command_rules.clear();
    for (int i = 0; i < count; ++i) {
      const std::string path = "/opt/tools/program-" + std::to_string(i);
      machine_.Add(path, 100000 + static_cast<std::uint64_t>(i));
      AddRule({.exe = {path}, .args = Strings{"run", "**"}}, Action::kAllow);
    }
    const auto policy = Compile();
    const ExecRequest request = Request("/opt/tools/program-" + std::to_string(count - 1), {"run"});
    constexpr int kRounds = 20000;
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kRounds; ++i) {
      ASSERT_EQ(policy->Decide(request).action, Action::kAllow);
    }
    const auto spent = std::chrono::steady_clock::now() - start;
    const auto each = std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count() / kRounds;
    RecordProperty("nanoseconds_" + std::to_string(count), std::to_string(each));
    std::cout << count << " literal rules: " << each << " ns a decision\n";
    EXPECT_LT(each, 50000);
  }
}

}  // namespace
}  // namespace cellrun::policy
