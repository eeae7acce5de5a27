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

TEST_F(NetworkPolicyTest, TheHostIsOpenedByNameOnly) {
  profile_.network_default.value = Action::kAllow;
  EXPECT_EQ(Decide("host:5432"), Action::kDeny);
  EXPECT_EQ(Decide("host.cell/other:80"), Action::kDeny);
  Add({"*"}, Action::kAllow);
  EXPECT_EQ(Decide("host:5432"), Action::kDeny);
  EXPECT_EQ(Decide("HOST:5432"), Action::kDeny);
  Add({"host", "host.cell/other"}, Action::kAllow);
  EXPECT_EQ(Decide("host:5432"), Action::kAllow);
  EXPECT_EQ(Decide("hosT.:5432"), Action::kAllow);
  EXPECT_EQ(Decide("host.cell/other:80"), Action::kAllow);
  EXPECT_EQ(Decide("host.cell/others:80"), Action::kDeny);
  EXPECT_EQ(Decide("Other.host.cell:80"), Action::kAllow) << "what programs call it";
  EXPECT_EQ(Decide("others.host.cell:80"), Action::kDeny);
  EXPECT_EQ(Decide("a.other.host.cell:80"), Action::kDeny);
}

TEST_F(NetworkPolicyTest, UdpNeedsARuleThatSaysSo) {
  profile_.network_default.value = Action::kAllow;
  EXPECT_EQ(Decide("example.com:443"), Action::kAllow);
  EXPECT_EQ(Decide("example.com:443/udp"), Action::kDeny);
  Add({"*"}, Action::kAllow).udp = true;
  EXPECT_EQ(Decide("example.com:443/udp"), Action::kAllow);
}

TEST_F(NetworkPolicyTest, AddressesThatLeadInwardsNeedARuleThatNamesThem) {
  profile_.network_default.value = Action::kAllow;
  Add({"*"}, Action::kAllow);
  Add({"0.0.0.0/0", "::/0"}, Action::kAllow);
  for (const char* inwards :
       {"127.0.0.1:80", "[::1]:80", "10.0.0.1:80", "192.168.1.1:80", "169.254.169.254:80",
        "[::ffff:169.254.169.254]:80", "[64:ff9b::a9fe:a9fe]:80", "[2002:a00:1::]:80",
        "[::ffff:7f00:1]:80", "224.0.0.1:80", "0.0.0.0:80", "[::]:80", "[fe80::1]:80",
        "[fc00::1]:80", "198.18.0.1:80", "[::10.0.0.1]:80", "255.255.255.255:80"}) {
    EXPECT_EQ(Decide(inwards), Action::kDeny) << inwards;
  }
  EXPECT_EQ(Decide("8.8.8.8:80"), Action::kAllow);
  EXPECT_EQ(Decide("[2606:4700::1]:80"), Action::kAllow);
  EXPECT_EQ(Judge("10.0.0.1:80").message,
            "10.0.0.1 is private: such addresses are refused unless a rule names them");
  Add({"10.1.0.0/16", "169.254.169.254"}, Action::kAllow);
  EXPECT_EQ(Decide("10.1.0.1:80"), Action::kAllow);
  EXPECT_EQ(Decide("[::ffff:10.1.0.1]:80"), Action::kAllow);
  EXPECT_EQ(Decide("[64:ff9b::10.1.0.1]:80"), Action::kAllow);
  EXPECT_EQ(Decide("10.2.0.1:80"), Action::kDeny);
  EXPECT_EQ(Decide("169.254.169.254:80"), Action::kAllow);
}

TEST_F(NetworkPolicyTest, ARuleAgainstAnOuterFormHolds) {
  profile_.network_default.value = Action::kAllow;
  EXPECT_EQ(Decide("[2002:808:808::1]:80"), Action::kAllow);
  Add({"2002::/16", "64:ff9b::/96"}, Action::kDeny);
  EXPECT_EQ(Decide("[2002:808:808::1]:80"), Action::kDeny);
  EXPECT_EQ(Decide("[64:ff9b::808:808]:80"), Action::kDeny);
  EXPECT_EQ(Decide("8.8.8.8:80"), Action::kAllow);
}

TEST_F(NetworkPolicyTest, WhatANameResolvesToIsJudgedAgain) {
  Add({"git.example.com"}, Action::kAllow);
  const auto resolved = [&](const char* address, std::uint16_t port = 443) {
    const auto policy = NetworkPolicy::Compile(profile_);
    EXPECT_TRUE(policy.ok());
    return policy.value()
        .DecideResolved({.host = "git.example.com", .port = port}, *ParseAddress(address))
        .action;
  };
  EXPECT_EQ(resolved("203.0.113.1"), Action::kAllow);
  EXPECT_EQ(resolved("2606:4700::1"), Action::kAllow);
  for (const char* inwards : {"10.0.0.1", "127.0.0.1", "169.254.169.254", "::1", "0.0.0.0",
                              "::ffff:10.0.0.1", "64:ff9b::a00:1", "198.18.0.1", "fe80::1"}) {
    EXPECT_EQ(resolved(inwards), Action::kDeny) << inwards;
  }
  Add({"10.0.0.0/8"}, Action::kAllow).ports = {{443, 443}};
  EXPECT_EQ(resolved("10.0.0.1"), Action::kAllow);
  EXPECT_EQ(resolved("64:ff9b::a00:1"), Action::kAllow);
  EXPECT_EQ(resolved("10.0.0.1", 22), Action::kDeny);
  Add({"203.0.113.0/24"}, Action::kDeny);
  EXPECT_EQ(resolved("203.0.113.1"), Action::kDeny);
  Add({"host"}, Action::kAllow).ports = {{5432, 5432}};
  EXPECT_EQ(resolved("127.0.0.1", 5432), Action::kAllow);
  EXPECT_EQ(resolved("127.0.0.1", 22), Action::kDeny);
  Add({"127.0.0.0/8"}, Action::kDeny, Layer::kFloor);
  EXPECT_EQ(resolved("127.0.0.1", 5432), Action::kDeny);
}

// One that the whole world may have is as private as its loopback.
TEST_F(NetworkPolicyTest, AnAddressOfThisMachineNeedsARuleThatNamesIt) {
  profile_.network_default.value = Action::kAllow;
  Add({"*", "0.0.0.0/0", "::/0", "git.example.com"}, Action::kAllow);
  const auto decide = [this](const char* address, bool own) {
    const auto policy = NetworkPolicy::Compile(profile_);
    return policy.value().DecideResolved({.host = "git.example.com", .port = 1},
                                         *ParseAddress(address), own);
  };
  for (const char* address : {"203.0.113.5", "2001:db8::5", "2002:cb00:7105::1"}) {
    EXPECT_EQ(decide(address, false).action, Action::kAllow) << address;
    EXPECT_EQ(decide(address, true).action, Action::kDeny) << address;
    EXPECT_NE(decide(address, true).message.find("of this machine"), std::string::npos);
  }
  Add({"203.0.113.0/24", "2001:db8::5"}, Action::kAllow);
  for (const char* address : {"203.0.113.5", "2001:db8::5", "2002:cb00:7105::1"})
    EXPECT_EQ(decide(address, true).action, Action::kAllow) << address;
}

TEST_F(NetworkPolicyTest, TheFloorOpensNoRange) {
  Add({"git.example.com"}, Action::kAllow);
  Add({"10.0.0.0/8"}, Action::kAllow, Layer::kFloor);
  const auto policy = NetworkPolicy::Compile(profile_);
  EXPECT_EQ(policy.value()
                .DecideResolved({.host = "git.example.com", .port = 1}, Ipv4(0x0A000001))
                .action,
            Action::kDeny);
}

TEST_F(NetworkPolicyTest, ANameIsOpenIfItIsOnSomePort) {
  const auto opening = [&](std::string_view name) {
    const auto policy = NetworkPolicy::Compile(profile_);
    EXPECT_TRUE(policy.ok());
    return policy.value().MightAllow(name);
  };
  Add({"early.example.com"}, Action::kDeny).ports = {{1, 79}, {81, 65535}};
  Add({"shut.example.com"}, Action::kDeny);
  Add({"exact.example.com"}, Action::kAsk).ports = {{443, 443}};
  Add({"quic.example.com"}, Action::kAllow).udp = true;
  Add({".example.com"}, Action::kAllow).ports = {{80, 80}};
  Add({"host"}, Action::kAllow);
  EXPECT_EQ(opening("exact.example.com"), Opening::kByName);
  EXPECT_EQ(opening("EXACT.example.com."), Opening::kByName);
  EXPECT_EQ(opening("quic.example.com"), Opening::kByName);
  EXPECT_EQ(opening("www.exact.example.com"), Opening::kByPattern);
  EXPECT_EQ(opening("example.com"), Opening::kByPattern);
  EXPECT_EQ(opening("early.example.com"), Opening::kByPattern);
  EXPECT_EQ(opening("shut.example.com"), Opening::kClosed);
  EXPECT_EQ(opening("example.org"), Opening::kClosed);
  EXPECT_EQ(opening("com"), Opening::kClosed);
  EXPECT_EQ(opening("host"), Opening::kByName);
  EXPECT_EQ(opening("192.0.2.1"), Opening::kClosed);
  EXPECT_EQ(opening(std::string_view("a\0.example.com", 13)), Opening::kClosed);
  profile_.network_rules.front().layer = Layer::kFloor;
  profile_.network_rules.front().ports.clear();
  EXPECT_EQ(opening("early.example.com"), Opening::kClosed);
  profile_.network_rules.clear();
  EXPECT_EQ(opening("host"), Opening::kClosed);
  profile_.network_default.value = Action::kAsk;
  EXPECT_EQ(opening("anything.org"), Opening::kByPattern);
  EXPECT_EQ(opening("host"), Opening::kClosed);
}

TEST_F(NetworkPolicyTest, BuiltInGroupsAreWhatTheHostSays) {
  Add({"@npm"}, Action::kAllow);
  EXPECT_EQ(Decide("npm.example.com:443"), Action::kDeny);
  const auto policy = NetworkPolicy::Compile(profile_, std::chrono::system_clock::now(),
                                             {{"npm", {"npm.example.com:443"}}});
  ASSERT_TRUE(policy.ok());
  EXPECT_EQ(policy.value().Decide({.host = "npm.example.com", .port = 443}).action, Action::kAllow);
  EXPECT_EQ(policy.value().Decide({.host = "npm.example.com", .port = 80}).action, Action::kDeny);
  EXPECT_TRUE(policy.value().LetsAnythingOut());
  EXPECT_FALSE(NetworkPolicy::Compile(profile_).value().LetsAnythingOut());
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
