// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/address.h"

#include <gtest/gtest.h>

namespace cellrun::policy {
namespace {

using namespace std::string_view_literals;

Reach Of(std::string_view text) {
  const auto address = ParseAddress(text);
  EXPECT_TRUE(address.has_value()) << text;
  return address ? ReachOf(*address) : Reach::kPublic;
}

TEST(AddressTest, OnlyWholeSpellingsAreRead) {
  for (const std::string_view text :
       {"2130706433"sv, "0x7f.1"sv, "0177.0.0.1"sv, "127.1"sv, "127.0.0.1 "sv, " 127.0.0.1"sv, ""sv,
        "127.0.0.1\0"sv, "127.0.0.1\0.example.com"sv, "fe80::1%eth0"sv, "[::1]"sv, "::1::"sv,
        "127.0.0.1/8"sv, "1.2.3.256"sv, "::ffff:1.2.3"sv}) {
    EXPECT_FALSE(ParseAddress(text)) << text;
  }
}

TEST(AddressTest, TextSurvivesARoundTrip) {
  for (const char* text : {"0.0.0.0", "203.0.113.7", "::", "::1", "2001:db8::1", "fe80::1"}) {
    EXPECT_EQ(FormatAddress(*ParseAddress(text)), text);
  }
  EXPECT_EQ(FormatAddress(Ipv4(0xC6120001)), "198.18.0.1");
  EXPECT_EQ(Ipv4Number(*ParseAddress("198.18.0.1")), 0xC6120001);
}

TEST(AddressTest, RangesThatLeadInwardsAreKnown) {
  EXPECT_EQ(Of("8.8.8.8"), Reach::kPublic);
  EXPECT_EQ(Of("203.0.113.1"), Reach::kPublic);
  EXPECT_EQ(Of("2001:db8::1"), Reach::kPublic);
  EXPECT_EQ(Of("2606:4700::1"), Reach::kPublic);
  EXPECT_EQ(Of("0.0.0.0"), Reach::kUnspecified);
  EXPECT_EQ(Of("0.1.2.3"), Reach::kUnspecified);
  EXPECT_EQ(Of("::"), Reach::kUnspecified);
  EXPECT_EQ(Of("127.255.0.1"), Reach::kLoopback);
  EXPECT_EQ(Of("::1"), Reach::kLoopback);
  for (const char* text : {"10.0.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "fc00::1",
                           "fd12::1", "fec0::1", "64:ff9b:1::1"}) {
    EXPECT_EQ(Of(text), Reach::kPrivate) << text;
  }
  EXPECT_EQ(Of("172.32.0.1"), Reach::kPublic);
  EXPECT_EQ(Of("169.254.1.1"), Reach::kLinkLocal);
  EXPECT_EQ(Of("fe80::1"), Reach::kLinkLocal);
  for (const char* text :
       {"169.254.169.254", "168.63.129.16", "100.100.100.200", "192.0.0.192", "fd00:ec2::254"}) {
    EXPECT_EQ(Of(text), Reach::kMetadata) << text;
  }
  EXPECT_EQ(Of("239.1.1.1"), Reach::kMulticast);
  EXPECT_EQ(Of("ff02::1"), Reach::kMulticast);
  for (const char* text : {"198.18.0.1", "255.255.255.255", "240.0.0.1", "192.0.0.1", "2001::1"}) {
    EXPECT_EQ(Of(text), Reach::kReserved) << text;
  }
}

TEST(AddressTest, TheAddressInsideAnotherDecides) {
  EXPECT_EQ(Of("::ffff:169.254.169.254"), Reach::kMetadata);
  EXPECT_EQ(Of("64:ff9b::a9fe:a9fe"), Reach::kMetadata);
  EXPECT_EQ(Of("64:ff9b::10.0.0.1"), Reach::kPrivate);
  EXPECT_EQ(Of("64:ff9b::8.8.8.8"), Reach::kPublic);
  EXPECT_EQ(Of("2002:7f00:1::1"), Reach::kLoopback);
  EXPECT_EQ(Of("2002:808:808::1"), Reach::kPublic);
  EXPECT_EQ(Of("::10.0.0.1"), Reach::kPrivate);
  EXPECT_EQ(Of("::ffff:0.0.0.0"), Reach::kUnspecified);
  EXPECT_EQ(FormatAddress(Canonical(*ParseAddress("::ffff:a00:1"))), "10.0.0.1");
  EXPECT_EQ(FormatAddress(Canonical(*ParseAddress("64:ff9b::a00:1"))), "64:ff9b::a00:1");
}

TEST(AddressTest, EachRangeHasABlock) {
  const AddressBlock block = BlockOfReach(*ParseAddress("::ffff:172.16.9.9"));
  EXPECT_EQ(FormatAddress(block.first), "172.16.0.0");
  EXPECT_EQ(block.prefix, 12);
  EXPECT_EQ(BlockOfReach(*ParseAddress("169.254.169.254")).prefix, 16);
  EXPECT_EQ(BlockOfReach(*ParseAddress("168.63.129.16")).prefix, 32);
}

}  // namespace
}  // namespace cellrun::policy
