// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "broker/net/message/message.h"
#include "broker/net/message/wire_fixture.h"

namespace cellrun::net {
namespace {

using namespace wire_fixture;          // NOLINT(google-build-using-namespace)
using namespace std::string_literals;  // NOLINT(google-build-using-namespace)

const std::string kOwner = "\xC0\x0C";  // the question's name

std::string Answer(std::size_t count, const std::string& records, std::size_t flags = kResponse) {
  return Header(7, flags, {.answers = count}) + Question(Name("git.example.com"), 1) + records;
}

TEST(ResponseTest, AddressesAndAliasesAreRead) {
  const auto response = ReadResponse(
      Answer(4, ResourceRecord(kOwner, 5, Name("alias.example.net")) +
                    ResourceRecord(Name("alias.example.net"), 1, "\xCB\0q\1"s) +
                    ResourceRecord(Name("alias.example.net"), 16, "\4text") +
                    ResourceRecord(Name("alias.example.net"), 28, std::string(16, 'x'))));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->id, 7);
  EXPECT_EQ(response->name, "git.example.com");
  ASSERT_EQ(response->records.size(), 3U);
  EXPECT_EQ(response->records[0].owner, "git.example.com");
  EXPECT_EQ(response->records[0].alias, "alias.example.net");
  EXPECT_EQ(response->records[1].address, ParseAddress("203.0.113.1"));
  EXPECT_EQ(response->records[1].ttl_seconds, 60U);
  EXPECT_TRUE(response->records[2].address->ipv6);
}

TEST(ResponseTest, GarbageIsAnError) {
  EXPECT_FALSE(ReadResponse("").ok());
  EXPECT_FALSE(ReadResponse(Ask("a", 1)).ok());  // a query
  EXPECT_FALSE(ReadResponse(Header(7, kResponse, {.questions = 0})).ok());
  EXPECT_FALSE(ReadResponse(Answer(1, "")).ok());                                     // cut off
  EXPECT_FALSE(ReadResponse(Answer(1, ResourceRecord("\xC0\x21", 1, "1234"))).ok());  // a loop
  EXPECT_FALSE(ReadResponse(Answer(1, ResourceRecord("\xFF\xFF", 1, "1234"))).ok());
}

TEST(ResponseTest, TruncatedOnesNeedNotBeWhole) {
  const auto response = ReadResponse(Answer(9, "cut", kResponse | 0x0200));
  ASSERT_TRUE(response.ok());
  EXPECT_TRUE(response->truncated);
  EXPECT_TRUE(response->records.empty());
}

TEST(ResponseTest, WhatIsNoAddressIsLeftOut) {
  const auto response = ReadResponse(
      Answer(2, ResourceRecord(kOwner, 1, "12345") + ResourceRecord(kOwner, 28, "1234")));
  EXPECT_TRUE(!response.ok() || response->records.empty());
}

TEST(ResponseTest, AliasesThatAreNoHostNamesAreLeftOut) {
  const auto response = ReadResponse(Answer(1, ResourceRecord(kOwner, 5, "\5evil\0\3com\0"s)));
  ASSERT_TRUE(response.ok());
  EXPECT_TRUE(response->records.empty());
}

TEST(ResponseTest, TenThousandRecordsAreTheFirstFew) {
  std::string records;
  for (int i = 0; i < 4000; ++i) records += ResourceRecord(kOwner, 1, "\xCB\0q\1"s);
  const auto response = ReadResponse(Answer(4000, records).substr(0, 65535));
  ASSERT_TRUE(response.ok());
  EXPECT_EQ(response->records.size(), kMaxRecords);
}

// 16,000 pointers, each to the one before, and records whose names begin at the last.
TEST(ResponseTest, ChainsOfPointersAreBounded) {
  std::string chain = "\xC0\x0C";
  const std::size_t start = 12 + 17 + 4 + 11 + 1;
  while (chain.size() < 16'000) {
    const std::size_t before = start + chain.size() - 2;
    chain += Word16(0xC000 | before);
  }
  std::string records = ResourceRecord(std::string(1, '\0'), 16, chain);
  const std::string last = Word16(0xC000 | (start + chain.size() - 2));
  for (int i = 0; i < 3000; ++i) records += ResourceRecord(last, 1, "1234");
  const auto before = std::chrono::steady_clock::now();
  (void)ReadResponse(Answer(3001, records));
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(500));
}

TEST(ResponseTest, AnyBytesAreReadOrRefused) {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same bytes in each run
  const std::string whole = Answer(2, ResourceRecord(kOwner, 5, Name("alias.example.net")) +
                                          ResourceRecord(kOwner, 1, "\xCB\0q\1"s));
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = whole.substr(0, random() % (whole.size() + 1));
    for (int flips = 0; flips < 4 && !bytes.empty(); ++flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto response = ReadResponse(bytes);
    if (response.ok()) {
      EXPECT_LE(response->records.size(), 2U);
    }
  }
}

TEST(QuestionTest, IsAQueryForTheName) {
  const auto query = ReadQuery(WriteQuestion(77, "git.example.com", type::kAaaa));
  ASSERT_TRUE(query);
  EXPECT_EQ(query->id, 77);
  EXPECT_EQ(query->name, "git.example.com");
  EXPECT_EQ(query->type, type::kAaaa);
  EXPECT_TRUE(query->recursion_desired && query->edns);
}

}  // namespace
}  // namespace cellrun::net
