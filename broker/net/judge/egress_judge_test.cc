// SPDX-License-Identifier: Apache-2.0
#include "broker/net/judge/egress_judge.h"

#include <gtest/gtest.h>

#include <thread>

namespace cellrun::net {
namespace {

using policy::Action;

std::shared_ptr<const policy::NetworkPolicy> Rules(std::vector<std::string> to,
                                                   Action then = Action::kAllow) {
  policy::Profile profile;
  profile.network_default.value = Action::kDeny;
  policy::NetworkRule rule;
  rule.to = std::move(to);
  rule.then = then;
  profile.network_rules.push_back(rule);
  auto compiled = policy::NetworkPolicy::Compile(profile);
  EXPECT_TRUE(compiled.ok());
  return std::make_shared<const policy::NetworkPolicy>(std::move(compiled.value()));
}

TEST(EgressJudgeTest, AnExactRuleDoesNotOpenSubdomains) {
  const EgressJudge judge(Rules({"example.com"}));
  EXPECT_TRUE(judge.MightAllow("example.com"));
  EXPECT_FALSE(judge.MightAllow("data.example.com"));
  EXPECT_FALSE(judge.MightAllow("com"));
  EXPECT_FALSE(judge.MightAllow("example.com.evil.org"));
}

TEST(EgressJudgeTest, AnAskOpensAName) {
  const EgressJudge judge(Rules({"example.com"}, Action::kAsk));
  EXPECT_TRUE(judge.MightAllow("example.com"));
  EXPECT_EQ(judge.Decide({.host = "example.com", .port = 443}).action, Action::kAsk);
}

TEST(EgressJudgeTest, AReplacedPolicyHoldsAtOnce) {
  EgressJudge judge(Rules({"example.com"}));
  EXPECT_EQ(judge.generation(), 0U);
  judge.Replace(Rules({"example.org"}));
  EXPECT_EQ(judge.generation(), 1U);
  EXPECT_FALSE(judge.MightAllow("example.com"));
  EXPECT_TRUE(judge.MightAllow("example.org"));
}

TEST(EgressJudgeTest, ReplacementsNeverShowAMixture) {
  const auto one = Rules({"a.org", "b.org"}), other = Rules({"c.org"});
  EgressJudge judge(one);
  std::atomic<bool> stop{false};
  std::thread writer([&] {
    for (int i = 0; i < 20'000; ++i) judge.Replace(i % 2 == 0 ? other : one);
    stop = true;
  });
  while (!stop) {
    const auto policy = judge.policy();
    const Destination a{.host = "a.org", .port = 1}, c{.host = "c.org", .port = 1};
    ASSERT_NE(policy->Decide(a).action == Action::kAllow,
              policy->Decide(c).action == Action::kAllow);
    ASSERT_EQ(judge.Decide({.host = "never.org", .port = 1}).action, Action::kDeny);
  }
  writer.join();
}

TEST(EgressJudgeTest, WhatANameResolvesToIsJudgedAgain) {
  const EgressJudge judge(Rules({"git.example.com", "*"}));
  const Destination git{.host = "git.example.com", .port = 443};
  EXPECT_EQ(judge.MayDial(git, Ipv4(0xCB007101)).action, Action::kAllow);
  EXPECT_EQ(judge.MayDial(git, Ipv4(0x7F000001)).action, Action::kDeny);
  EXPECT_EQ(judge.MayDial(git, Ipv4(0xA9FEA9FE)).action, Action::kDeny);
}

TEST(EgressJudgeTest, OtherCellsAreNamesBelowHostCell) {
  EXPECT_EQ(HostOfName("web.host.cell"), "host.cell/web");
  EXPECT_EQ(HostOfName("host"), "host");
  EXPECT_EQ(HostOfName("a.b.host.cell"), std::nullopt);
  EXPECT_EQ(HostOfName("a b"), std::nullopt);
  EXPECT_EQ(HostOfName(std::string_view("evil\0.example.com", 17)), std::nullopt);
  const EgressJudge judge(Rules({"host.cell/web"}));
  EXPECT_TRUE(judge.MightAllow("web.host.cell"));
  EXPECT_FALSE(judge.MightAllow("other.host.cell"));
}

}  // namespace
}  // namespace cellrun::net
