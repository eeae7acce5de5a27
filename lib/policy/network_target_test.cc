// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/network_target.h"

#include <gtest/gtest.h>

namespace cellrun::policy {
namespace {

using Kind = NetworkTarget::Kind;

TEST(NetworkTargetTest, TellsTheKindsApart) {
  const std::pair<const char*, Kind> cases[] = {
      {"*", Kind::kEverything},        {"host", Kind::kHost},
      {"host.cell/db", Kind::kCell},   {"@npm", Kind::kGroup},
      {"*.example.com", Kind::kBelow}, {".example.com", Kind::kWithBelow},
      {"example.com", Kind::kName},    {"192.0.2.1", Kind::kBlock},
      {"10.0.0.0/8", Kind::kBlock},    {"2001:db8::/32", Kind::kBlock},
      {"::1", Kind::kBlock},           {"xn--bcher-kva.example", Kind::kName},
  };
  for (const auto& [text, kind] : cases) {
    const Result<NetworkTarget> target = ParseTarget(text);
    ASSERT_TRUE(target.ok()) << text << target.error().ToString();
    EXPECT_EQ(target->kind, kind) << text;
  }
}

TEST(NetworkTargetTest, RefusesNamesThatResolversReadAsAddresses) {
  for (const char* text : {"127.1", "2130706433", "0x7f000001", "0177.0.0.01", "example.0x10"}) {
    EXPECT_FALSE(ParseTarget(text).ok()) << text;
  }
}

TEST(NetworkTargetTest, RefusesMalformedTargets) {
  for (const char* text : {"",
                           ".",
                           "*.",
                           "a..b",
                           "-a.example",
                           "a-.example",
                           "exa mple.com",
                           "b\xC3\xBC"
                           "cher.example",
                           "example.com.",
                           "*.*.com",
                           "a*.com",
                           "10.0.0.0/33",
                           "10.0.0.1/8",
                           "::/129",
                           "10.0.0.0/-1",
                           "::ffff:192.0.2.1",
                           "fe80::1%eth0",
                           "@",
                           "@a b",
                           "host.cell/",
                           "host.cell/a/b",
                           "web.host.cell",
                           "*.host.cell",
                           ".Host.Cell",
                           "http://example.com",
                           "example.com:443",
                           "10.0.0.0/"}) {
    EXPECT_FALSE(ParseTarget(text).ok()) << text;
  }
}

TEST(NetworkTargetTest, NamesAreLowerCase) {
  EXPECT_EQ(ParseTarget("*.Example.COM")->name, "example.com");
  EXPECT_EQ(ParseTarget("host.cell/Web")->name, "web");
}

TEST(NetworkTargetTest, EndpointsMayHavePorts) {
  EXPECT_EQ(ParseEndpoint("example.com:443")->ports, PortRange(443, 443));
  EXPECT_EQ(ParseEndpoint("[2001:db8::1]:8000-8010")->ports, PortRange(8000, 8010));
  EXPECT_FALSE(ParseEndpoint("example.com")->ports);
  EXPECT_EQ(ParseEndpoint("2001:db8::1")->kind, Kind::kBlock);
}

TEST(NetworkTargetTest, EndpointsWithoutTheirPortsAreTargets) {
  const std::pair<const char*, const char*> cases[] = {
      {"example.com:443", "example.com"},  {"*.example.com", "*.example.com"},
      {"host:8000-8010", "host"},          {"10.0.0.0/8:53", "10.0.0.0/8"},
      {"[2001:db8::1]:80", "2001:db8::1"}, {"[2001:db8::/32]", "2001:db8::/32"},
      {"2001:db8::1", "2001:db8::1"},      {"*", "*"}};
  for (const auto& [endpoint, target] : cases) {
    EXPECT_TRUE(ParseEndpoint(endpoint).ok()) << endpoint;
    EXPECT_EQ(WithoutPorts(endpoint), target);
    EXPECT_TRUE(ParseTarget(target).ok()) << target;
  }
}

TEST(NetworkTargetTest, AGhostsMayBeOverUdp) {
  const auto udp = ParseGhostDestination("[2001:db8::1]:53-54/udp");
  ASSERT_TRUE(udp.ok());
  EXPECT_TRUE(udp->udp);
  EXPECT_EQ(udp->to, "2001:db8::1");
  EXPECT_EQ(udp->target.ports, PortRange(53, 54));
  const auto block = ParseGhostDestination("10.0.0.0/8:53");
  ASSERT_TRUE(block.ok());
  EXPECT_FALSE(block->udp);
  EXPECT_EQ(block->to, "10.0.0.0/8");
  EXPECT_EQ(ParseGhostDestination("host.cell/db:80")->target.kind, Kind::kCell);
  EXPECT_EQ(ParseGhostDestination("@npm")->to, "@npm");
  EXPECT_EQ(ParseGhostDestination("@own:443")->to, "@own");
  for (const char* text : {"example.com/udp", "10.0.0.0/8/udp", "host.cell/db:80/udp", "@npm/udp",
                           "@", "example.com:53/tcp", "example.com:53/udp/udp", "/udp", ""}) {
    EXPECT_FALSE(ParseGhostDestination(text).ok()) << text;
  }
}

TEST(NetworkTargetTest, RefusesMalformedPorts) {
  for (const char* text :
       {"example.com:", "example.com:0", "example.com:65536", "example.com:x", "[::1", "[::1]x",
        "[192.0.2.1]:80", "example.com:80-79", "example.com:-1"}) {
    EXPECT_FALSE(ParseEndpoint(text).ok()) << text;
  }
}

}  // namespace
}  // namespace cellrun::policy
