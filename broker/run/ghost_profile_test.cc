// SPDX-License-Identifier: Apache-2.0
#include "broker/run/ghost_profile.h"

#include <gtest/gtest.h>

#include "lib/policy/network_policy.h"

namespace cellrun::run {
namespace {

using policy::Action;
using policy::Layer;

policy::NetworkRule Rule(const std::string& to, Action then, Layer layer) {
  policy::NetworkRule rule;
  rule.to = {to};
  rule.then = then;
  rule.layer = layer;
  return rule;
}

// A cell that may go everywhere, but for what the floor and its workspace say.
policy::Profile Parent() {
  policy::Profile profile;
  profile.network_default.value = Action::kAllow;
  profile.network_rules = {Rule("evil.example", Action::kDeny, Layer::kFloor),
                           Rule("asked.example", Action::kAsk, Layer::kFloor),
                           Rule("narrow.example", Action::kDeny, Layer::kWorkspace),
                           Rule("cell.example", Action::kAllow, Layer::kProfile),
                           Rule("answer.example", Action::kAllow, Layer::kRemembered)};
  profile.network_groups["own"] = {"git.example:22", "*.mirror.example"};
  profile.limits.processes = {.value = 10, .at = {}, .layer = Layer::kProfile};
  profile.limits.files = {.value = 64, .at = {}, .layer = Layer::kProfile};
  return profile;
}

policy::NetworkPolicy NetworkOf(const policy::Ghost& named) {
  const policy::Profile profile = GhostProfile(Parent(), {.named = named, .rule = {}});
  policy::Checked<policy::NetworkPolicy> compiled = policy::NetworkPolicy::Compile(profile);
  EXPECT_TRUE(compiled.ok());
  return std::move(compiled.value());
}

Action Decide(const policy::NetworkPolicy& network, const std::string& host, std::uint16_t port,
              policy::Protocol protocol = policy::Protocol::kTcp) {
  return network.Decide({.host = host, .port = port, .protocol = protocol}).action;
}

TEST(GhostProfileTest, HasNoNetworkUnlessItsRuleNamesOne) {
  const policy::NetworkPolicy network = NetworkOf({});
  EXPECT_FALSE(network.LetsAnythingOut());
  for (const char* host : {"cell.example", "answer.example", "asked.example", "other.example"})
    EXPECT_EQ(Decide(network, host, 443), Action::kDeny) << host;
}

TEST(GhostProfileTest, ReachesWhatItsRuleNamesAndNothingOfTheCells) {
  policy::Ghost named;
  named.network = {"git.example:22", "*.in.example:8000-8010", "[2001:db8::1]:80",
                   "host:5432",      "time.example:123/udp",   "host.cell/db:80"};
  const policy::NetworkPolicy network = NetworkOf(named);
  EXPECT_TRUE(network.LetsAnythingOut());
  EXPECT_EQ(Decide(network, "git.example", 22), Action::kAllow);
  EXPECT_EQ(Decide(network, "git.example", 443), Action::kDeny);
  EXPECT_EQ(Decide(network, "git.example", 22, policy::Protocol::kUdp), Action::kDeny);
  EXPECT_EQ(Decide(network, "a.in.example", 8005), Action::kAllow);
  EXPECT_EQ(Decide(network, "2001:db8::1", 80), Action::kAllow);
  EXPECT_EQ(Decide(network, "host", 5432), Action::kAllow);
  EXPECT_EQ(Decide(network, "time.example", 123, policy::Protocol::kUdp), Action::kAllow);
  EXPECT_EQ(Decide(network, "time.example", 123), Action::kDeny);
  EXPECT_EQ(Decide(network, "host.cell/db", 80), Action::kAllow);
  for (const char* host : {"cell.example", "answer.example", "other.example"})
    EXPECT_EQ(Decide(network, host, 22), Action::kDeny) << host;
  EXPECT_EQ(network.MightAllow("cell.example"), policy::Opening::kClosed);
}

TEST(GhostProfileTest, AGroupIsWhatItIsForTheCell) {
  policy::Ghost named;
  named.network = {"@own"};
  const policy::NetworkPolicy whole = NetworkOf(named);
  EXPECT_EQ(Decide(whole, "git.example", 22), Action::kAllow);
  EXPECT_EQ(Decide(whole, "git.example", 443), Action::kDeny);
  EXPECT_EQ(Decide(whole, "a.mirror.example", 8080), Action::kAllow);
  EXPECT_EQ(Decide(whole, "cell.example", 22), Action::kDeny);
  named.network = {"@own:443"};
  const policy::NetworkPolicy one_port = NetworkOf(named);
  EXPECT_EQ(Decide(one_port, "a.mirror.example", 443), Action::kAllow);
  EXPECT_EQ(Decide(one_port, "a.mirror.example", 8080), Action::kDeny);
}

TEST(GhostProfileTest, NoRuleOpensWhatFloorAndWorkspaceClose) {
  policy::Ghost named;
  named.network = {"*"};
  const policy::NetworkPolicy network = NetworkOf(named);
  EXPECT_EQ(Decide(network, "other.example", 443), Action::kAllow);
  EXPECT_EQ(Decide(network, "evil.example", 443), Action::kDeny);
  EXPECT_EQ(Decide(network, "narrow.example", 443), Action::kDeny);
  EXPECT_EQ(Decide(network, "asked.example", 443), Action::kAsk);
}

TEST(GhostProfileTest, TakesTheLimitsOfItsRuleAndElseThoseOfTheCell) {
  policy::Ghost named;
  named.limits.processes = {.value = 100, .at = {}, .layer = Layer::kProfile};
  const policy::Profile profile = GhostProfile(Parent(), {.named = named, .rule = {}});
  EXPECT_EQ(profile.limits.processes->value, 100U);
  EXPECT_EQ(profile.limits.files->value, 64U);
  EXPECT_EQ(CheckerProfile(Parent()).limits.processes->value, 10U);
}

}  // namespace
}  // namespace cellrun::run
