// SPDX-License-Identifier: Apache-2.0
#include "broker/net/wall/reach.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "bpf/egress_wall.h"

namespace cellrun::net {
namespace {

using policy::Action;
using policy::NetworkPolicy;
using policy::NetworkRule;
using policy::Profile;
using testing::ElementsAre;
using testing::IsEmpty;

WallReach Compile(Action by_default, const std::vector<NetworkRule>& rules, bool gateway = true) {
  Profile profile;
  profile.network_default.value = by_default;
  profile.network_rules = rules;
  return ReachOf(NetworkPolicy::Compile(profile).value(), gateway);
}

NetworkRule Rule(std::vector<std::string> to, Action then) {
  NetworkRule rule;
  rule.to = std::move(to);
  rule.then = then;
  return rule;
}

// "ADDRESS/MASK", as the programs compare.
std::vector<std::string> Encoded(const WallReach& reach) {
  wall_reach encoded{};
  Encode(reach, 7, &encoded);
  std::vector<std::string> ranges;
  const auto text = [](int family, const void* bytes) {
    char buffer[INET6_ADDRSTRLEN] = {};
    return std::string(inet_ntop(family, bytes, &buffer[0], sizeof buffer));
  };
  for (std::uint32_t i = 0; i < encoded.ranges4; ++i) {
    ranges.push_back(text(AF_INET, &encoded.range4[i].address) + "/" +
                     text(AF_INET, &encoded.range4[i].mask));
  }
  for (std::uint32_t i = 0; i < encoded.ranges6; ++i) {
    ranges.push_back(text(AF_INET6, &encoded.range6[i].address[0]) + "/" +
                     text(AF_INET6, &encoded.range6[i].mask[0]));
  }
  return ranges;
}

constexpr char kNames4[] = "198.18.0.0/255.254.0.0";
constexpr char kNames6[] = "fd63:656c:6c00::/ffff:ffff:ff00::";

TEST(WallReachTest, IsNothingWithoutAGateway) {
  EXPECT_THAT(Encoded(Compile(Action::kAllow, {}, false)), IsEmpty());
}

TEST(WallReachTest, IsWhereNamesLeadUnlessARuleSaysNumbers) {
  EXPECT_THAT(Encoded(Compile(Action::kDeny, {Rule({"a.example", "host"}, Action::kAllow)})),
              ElementsAre(&kNames4[0], &kNames6[0]));
}

TEST(WallReachTest, HasTheBlocksThatMayBeLetOut) {
  EXPECT_THAT(Encoded(Compile(Action::kDeny, {Rule({"2001:db8:1::/48"}, Action::kAsk),
                                              Rule({"192.0.2.0/24"}, Action::kDeny)})),
              ElementsAre(&kNames4[0], &kNames6[0], "2001:db8:1::/ffff:ffff:ffff::"));
}

TEST(WallReachTest, HasTheOtherFormsOfAnIpv4Block) {
  EXPECT_THAT(Encoded(Compile(Action::kDeny, {Rule({"192.0.2.128/25"}, Action::kAllow)})),
              ElementsAre(&kNames4[0], "192.0.2.128/255.255.255.128", &kNames6[0],
                          "64:ff9b::/ffff:ffff:ffff:ffff:ffff:ffff::", "2002::/ffff::"));
}

TEST(WallReachTest, IsAnywhereWhereAPersonCouldAllowAnyAddress) {
  for (const Action action : {Action::kAsk, Action::kAllow})
    EXPECT_THAT(Encoded(Compile(action, {})), ElementsAre("0.0.0.0/0.0.0.0", "::/::"));
  EXPECT_THAT(Encoded(Compile(Action::kDeny, {Rule({"*"}, Action::kAllow)})),
              ElementsAre("0.0.0.0/0.0.0.0", "::/::"));
}

TEST(WallReachTest, IsAnywhereWhereThereAreMoreRangesThanRoom) {
  std::vector<std::string> to;
  for (int i = 0; i < WALL_RANGES; ++i) to.push_back("192.0.2." + std::to_string(i));
  EXPECT_THAT(Encoded(Compile(Action::kDeny, {Rule(to, Action::kAllow)})),
              ElementsAre("0.0.0.0/0.0.0.0", "::/::"));
}

TEST(WallReachTest, CarriesWhoItIs) {
  WallReach reach;
  reach.network = 11;
  reach.host = 12;
  reach.gateway = 14;
  reach.nested = true;
  wall_reach encoded{};
  Encode(reach, 13, &encoded);
  EXPECT_EQ(encoded.netns, 11U);
  EXPECT_EQ(encoded.host_netns, 12U);
  EXPECT_EQ(encoded.cgroup, 13U);
  EXPECT_EQ(encoded.gateway_netns, 14U);
  EXPECT_EQ(encoded.building, 0U);
  EXPECT_EQ(encoded.nested, 1U);
}

}  // namespace
}  // namespace cellrun::net
