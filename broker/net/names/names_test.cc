// SPDX-License-Identifier: Apache-2.0
#include "broker/net/names/names.h"

#include <gtest/gtest.h>

#include <thread>

namespace cellrun::net {
namespace {

TEST(NamesTest, ANameKeepsItsAddresses) {
  Names names;
  const auto first = names.Assign("git.example.com");
  const auto second = names.Assign("ci.example.com");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(FormatAddress(first->ipv4), "198.18.1.0");
  EXPECT_EQ(FormatAddress(first->ipv6), "fd63:656c:6c00::c612:100");
  EXPECT_NE(first->ipv4, second->ipv4);
  EXPECT_EQ(names.Assign("git.example.com")->ipv4, first->ipv4);
  EXPECT_EQ(names.NameOf(first->ipv4), "git.example.com");
  EXPECT_EQ(names.NameOf(first->ipv6), "git.example.com");
  EXPECT_EQ(names.NameOf(*ParseAddress("::ffff:198.18.1.1")), "ci.example.com");
  EXPECT_EQ(names.Find("ci.example.com")->ipv6, second->ipv6);
  EXPECT_EQ(names.size(), 2U);
}

TEST(NamesTest, NoAddressMeansAnythingUnlessItWasGiven) {
  Names names;
  ASSERT_TRUE(names.Assign("a.example.com"));
  for (const char* text : {"198.18.1.1", "198.18.0.0", "198.18.0.2", "198.19.255.255", "198.17.1.0",
                           "8.8.8.8", "fd63:656c:6c00::c612:101", "fd63:656c:6c01::c612:100",
                           "::", "0.0.0.0", "64:ff9b::c612:100"}) {
    EXPECT_FALSE(names.NameOf(*ParseAddress(text))) << text;
  }
  EXPECT_FALSE(names.Find("b.example.com"));
  EXPECT_TRUE(Names::IsOurs(*ParseAddress("198.19.255.255")));
  EXPECT_TRUE(Names::IsOurs(*ParseAddress("::ffff:198.18.0.1")));
  EXPECT_FALSE(Names::IsOurs(*ParseAddress("198.20.0.0")));
}

TEST(NamesTest, TheHostHasOneAddressInEveryCell) {
  Names names(1);
  ASSERT_TRUE(names.Assign("a.example.com"));
  EXPECT_EQ(FormatAddress(names.Assign("host")->ipv4), "198.18.0.1");
  EXPECT_EQ(names.NameOf(Ipv4(0xC6120001)), "host");
  EXPECT_EQ(names.NameOf(names.Find("host")->ipv6), "host");
  EXPECT_EQ(names.size(), 1U);
}

TEST(NamesTest, FullMeansNoMoreAndTakesNothingAway) {
  Names names(2);
  const auto first = names.Assign("a");
  ASSERT_TRUE(names.Assign("b"));
  EXPECT_FALSE(names.Assign("c"));
  EXPECT_FALSE(names.Find("c"));
  EXPECT_EQ(names.Assign("a")->ipv4, first->ipv4);
  EXPECT_EQ(names.NameOf(first->ipv4), "a");
}

TEST(NamesTest, ThreadsAgree) {
  Names names;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 2000; ++n) {
        const std::string name = "n" + std::to_string(n);
        const auto addresses = names.Assign(name);
        ASSERT_TRUE(addresses);
        ASSERT_EQ(names.NameOf(addresses->ipv4), name);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(names.size(), 2000U);
}

}  // namespace
}  // namespace cellrun::net
