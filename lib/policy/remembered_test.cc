// SPDX-License-Identifier: Apache-2.0
// Rules that a person's approvals left behind.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/policy/policy_fixture.h"

namespace cellrun::policy {
namespace {

using testing::HasSubstr;

class RememberedTest : public PolicyTest {};

// A remembered approval answers what asks; it is no permission of its own.
TEST_F(RememberedTest, AnAllowAnswersAnAsk) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.exe = {"git"}, .args = Strings{"push"}}, Action::kAllow, Layer::kRemembered);
  AddRule({.exe = {"git"}}, Action::kAsk).rewrite.args_append = {"--no-verify"};
  profile_.command_rules.back().run = Strategy::kGhost;
  const auto policy = Compile();
  const Verdict verdict = policy->Decide(Request("/usr/bin/git", {"push"}));
  EXPECT_EQ(verdict.action, Action::kAllow);
  EXPECT_EQ(verdict.rule.layer, Layer::kRemembered);
  EXPECT_EQ(verdict.rule.name, "rule0");
  // How it runs is what the asking rule says.
  EXPECT_EQ(verdict.strategy, Strategy::kGhost);
  ASSERT_NE(verdict.rewrite, nullptr);
  EXPECT_EQ(verdict.rewrite->args_append, Strings{"--no-verify"});
  EXPECT_EQ(policy->Decide(Request("/usr/bin/git", {"pull"})).action, Action::kAsk);
}

TEST_F(RememberedTest, AnAllowLoosensNoDenial) {
  AddRule({.exe = {"git"}}, Action::kAllow, Layer::kRemembered);
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kDeny);  // the default
  AddRule({.exe = {"git"}}, Action::kDeny, Layer::kInherited);
  profile_.command_default.value = Action::kAsk;
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kDeny);
}

TEST_F(RememberedTest, TheFloorAndTheWorkspaceAskEachTime) {
  for (const Layer layer : {Layer::kFloor, Layer::kWorkspace}) {
    profile_.command_rules.clear();
    AddRule({.exe = {"git"}}, Action::kAsk, layer);
    AddRule({.exe = {"git"}}, Action::kAllow, Layer::kRemembered);
    AddRule({.exe = {"git"}}, Action::kAsk);
    EXPECT_EQ(Decide("/usr/bin/git"), Action::kAsk) << LayerName(layer);
  }
  profile_.command_rules.clear();
  AddRule({.exe = {"git"}}, Action::kAllow, Layer::kRemembered);
  profile_.command_default = {.value = Action::kAsk, .at = {}, .layer = Layer::kWorkspace};
  EXPECT_EQ(Decide("/usr/bin/git"), Action::kAsk);
}

TEST_F(RememberedTest, AnAllowIsForNoAnonymousImage) {
  profile_.command_default.value = Action::kAsk;
  AddRule({.exe = {"/usr/bin/git"}}, Action::kAllow, Layer::kRemembered);
  AddRule({.anonymous = true}, Action::kAsk);
  ExecRequest request = Request("/usr/bin/git");
  EXPECT_EQ(Decide(request), Action::kAllow);
  request.images[0].anonymous = true;
  EXPECT_EQ(Decide(request), Action::kAsk);
}

TEST_F(RememberedTest, ADenialDeniesBeforeTheProfile) {
  AddRule({.exe = {"git"}}, Action::kAllow, Layer::kRemembered);
  AddRule({.exe = {"git"}, .args = Strings{"push"}}, Action::kDeny, Layer::kRemembered);
  AddRule({.exe = {"git"}}, Action::kAllow);
  EXPECT_EQ(Decide("/usr/bin/git", {"push"}), Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/git", {"pull"}), Action::kAllow);
}

TEST_F(RememberedTest, ExplainNamesTheRememberedRule) {
  profile_.command_default.value = Action::kAsk;
  AddRule({.exe = {"git"}}, Action::kAllow, Layer::kRemembered);
  AddRule({.exe = {"git"}}, Action::kAsk);
  const auto trials = Compile()->Explain(Request("/usr/bin/git"));
  ASSERT_EQ(trials.size(), 2U);
  EXPECT_TRUE(trials[0].decided);
  EXPECT_TRUE(trials[1].matched);
  EXPECT_FALSE(trials[1].decided);
}

}  // namespace
}  // namespace cellrun::policy
