// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/network_policy.h"

#include <gtest/gtest.h>

namespace cellrun::policy {
namespace {

class NetworkPolicyTest : public testing::Test {
 protected:
  NetworkPolicyTest() { profile_.network_default.value = Action::kDeny; }
  NetworkRule& Add(std::vector<std::string> to, Action then, Layer layer = Layer::kProfile) {
    NetworkRule rule;
    rule.name = "rule" + std::to_string(profile_.network_rules.size());
    rule.to = std::move(to);
    rule.then = then;
    rule.layer = layer;
    profile_.network_rules.push_back(rule);
    return profile_.network_rules.back();
  }
  Verdict Judge(std::string_view destination) {
    const auto policy = NetworkPolicy::Compile(profile_);
    EXPECT_TRUE(policy.ok());
    const auto parsed = ParseDestination(destination);
    EXPECT_TRUE(parsed.has_value()) << destination;
    return policy.value().Decide(*parsed);
  }
  Action Decide(std::string_view destination) { return Judge(destination).action; }
  Profile profile_;
};

TEST_F(NetworkPolicyTest, NamesAreExactUnlessTheySayOtherwise) {
  Add({"example.com"}, Action::kAllow);
  Add({"*.below.org"}, Action::kAllow);
  Add({".both.net"}, Action::kAllow);
  EXPECT_EQ(Decide("example.com:443"), Action::kAllow);
  EXPECT_EQ(Decide("EXAMPLE.com.:443"), Action::kAllow);
  EXPECT_EQ(Decide("www.example.com:443"), Action::kDeny);
  EXPECT_EQ(Decide("notexample.com:443"), Action::kDeny);
  EXPECT_EQ(Decide("a.b.below.org:1"), Action::kAllow);
  EXPECT_EQ(Decide("below.org:1"), Action::kDeny);
  EXPECT_EQ(Decide("xbelow.org:1"), Action::kDeny);
  EXPECT_EQ(Decide("both.net:1"), Action::kAllow);
  EXPECT_EQ(Decide("x.both.net:1"), Action::kAllow);
  EXPECT_EQ(Decide("example.com.evil.org:443"), Action::kDeny);
}

TEST_F(NetworkPolicyTest, BlocksHoldAddressesAndNoNames) {
  profile_.network_default.value = Action::kAllow;
  Add({"10.0.0.0/8", "192.0.2.1", "2001:db8::/33"}, Action::kDeny);
  EXPECT_EQ(Decide("10.255.0.1:80"), Action::kDeny);
  EXPECT_EQ(Decide("11.0.0.1:80"), Action::kAllow);
  EXPECT_EQ(Decide("192.0.2.1:80"), Action::kDeny);
  EXPECT_EQ(Decide("192.0.2.2:80"), Action::kAllow);
  EXPECT_EQ(Decide("[2001:db8:7fff::1]:80"), Action::kDeny);
  EXPECT_EQ(Decide("[2001:db8:8000::1]:80"), Action::kAllow);
}

TEST_F(NetworkPolicyTest, OtherSpellingsOfAnAddressDoNotSlipPast) {
  profile_.network_default.value = Action::kAllow;
  Add({"10.0.0.0/8"}, Action::kDeny);
  EXPECT_EQ(Decide("[::ffff:10.0.0.1]:80"), Action::kDeny);
  EXPECT_EQ(Decide("[::ffff:a00:1]:80"), Action::kDeny);
  EXPECT_EQ(Decide("[::FFFF:10.0.0.1]:80"), Action::kDeny);
  EXPECT_EQ(Decide("[0:0:0:0:0:ffff:a00:1]:80"), Action::kDeny);
  EXPECT_EQ(Decide("10.1:80"), Action::kDeny);
  EXPECT_EQ(Decide("0x0a000001:80"), Action::kDeny);
  EXPECT_EQ(Decide("167772161:80"), Action::kDeny);
  EXPECT_EQ(Decide("10.0.0.0/8:80"), Action::kDeny);
}

TEST_F(NetworkPolicyTest, PortsAndProtocolMustFit) {
  Add({"example.com"}, Action::kAllow).ports = {{22, 22}, {8000, 8010}};
  Add({"dns.example.com"}, Action::kAllow).udp = true;
  EXPECT_EQ(Decide("example.com:22"), Action::kAllow);
  EXPECT_EQ(Decide("example.com:8010"), Action::kAllow);
  EXPECT_EQ(Decide("example.com:8011"), Action::kDeny);
  EXPECT_EQ(Decide("dns.example.com:53/udp"), Action::kAllow);
  EXPECT_EQ(Decide("dns.example.com:53"), Action::kDeny);
}

TEST_F(NetworkPolicyTest, GroupsCarryTheirOwnPorts) {
  profile_.network_groups["ours"] = {"git.example.com:22", "ci.example.com"};
  Add({"@ours"}, Action::kAllow);
  Add({"@npm"}, Action::kAllow);
  EXPECT_EQ(Decide("git.example.com:22"), Action::kAllow);
  EXPECT_EQ(Decide("git.example.com:443"), Action::kDeny);
  EXPECT_EQ(Decide("ci.example.com:443"), Action::kAllow);
  Add({"@nobody"}, Action::kAllow);
  EXPECT_FALSE(NetworkPolicy::Compile(profile_).ok());
}

TEST_F(NetworkPolicyTest, HostIsTheHostsLoopbackOnly) {
  Add({"host"}, Action::kAllow).ports = {{5432, 5432}};
  EXPECT_EQ(Decide("host:5432"), Action::kAllow);
  EXPECT_EQ(Decide("127.0.0.1:5432"), Action::kDeny);
  EXPECT_EQ(Decide("host.example.com:5432"), Action::kDeny);
}

TEST_F(NetworkPolicyTest, FloorAndWorkspaceOnlyRaise) {
  Add({"a.example.com"}, Action::kDeny, Layer::kFloor);
  Add({".example.com"}, Action::kAsk, Layer::kFloor);
  Add({"w.example.com"}, Action::kAllow, Layer::kWorkspace);
  Add({".example.com"}, Action::kAllow);
  EXPECT_EQ(Decide("a.example.com:1"), Action::kDeny);
  EXPECT_EQ(Decide("b.example.com:1"), Action::kAsk);
  EXPECT_EQ(Judge("b.example.com:1").rule.layer, Layer::kFloor);
  EXPECT_EQ(Decide("w.example.com:1"), Action::kAsk);
}

TEST_F(NetworkPolicyTest, FirstMatchDecidesElseTheDefault) {
  profile_.network_default.value = Action::kAsk;
  Add({"*.example.com"}, Action::kAllow);
  Add({"bad.example.com"}, Action::kDeny);
  EXPECT_EQ(Decide("bad.example.com:1"), Action::kAllow);
  EXPECT_EQ(Decide("other.org:1"), Action::kAsk);
  EXPECT_EQ(Judge("other.org:1").rule.name, "default");
}

TEST_F(NetworkPolicyTest, ExpiredRulesAreGone) {
  Add({"example.com"}, Action::kAllow).expires = "2001-01-01";
  EXPECT_EQ(Decide("example.com:1"), Action::kDeny);
}

TEST(ParseDestinationTest, NeedsAHostAndOnePort) {
  for (const char* text : {"example.com", ":80", "example.com:", "example.com:0",
                           "example.com:65536", "example.com:80-90", "example.com:x"}) {
    EXPECT_FALSE(ParseDestination(text)) << text;
  }
  EXPECT_EQ(ParseDestination("[::1]:80")->host, "::1");
}

}  // namespace
}  // namespace cellrun::policy
