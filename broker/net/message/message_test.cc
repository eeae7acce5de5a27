// SPDX-License-Identifier: Apache-2.0
#include "broker/net/message/message.h"

#include <gtest/gtest.h>

#include <random>

#include "broker/net/message/wire_fixture.h"

namespace cellrun::net {
namespace {

using namespace wire_fixture;  // NOLINT(google-build-using-namespace)

TEST(QueryTest, IsReadAsItWasSent) {
  const auto query = ReadQuery(WithEdns(Ask("GIT.Example.com", type::kAaaa), 1232));
  ASSERT_TRUE(query);
  EXPECT_EQ(query->id, 0x1234);
  EXPECT_EQ(query->name, "git.example.com");
  EXPECT_EQ(query->type, type::kAaaa);
  EXPECT_EQ(query->dns_class, kInternet);
  EXPECT_TRUE(query->recursion_desired);
  EXPECT_TRUE(query->edns);
  EXPECT_EQ(query->udp_bytes, 1232U);
  EXPECT_EQ(ReadQuery(Ask("", type::kA))->name, ".");
  EXPECT_EQ(ReadQuery(WithEdns(Ask("a", type::kA), 100))->udp_bytes, kUdpBytes);
}

TEST(QueryTest, NamesThatAreNoHostNamesHaveNone) {
  const auto name_of = [](const std::string& wire) {
    const auto query = ReadQuery(Header(1, 0, {}) + Question(wire, type::kA));
    return query && !query->question.empty() ? query->name : "unreadable";
  };
  using namespace std::string_literals;
  EXPECT_EQ(name_of(Name("_dmarc.example.com")), "_dmarc.example.com");
  EXPECT_EQ(name_of("\x0C"
                    "evil.example\3com\0"s),
            "");                                        // a dot in a label
  EXPECT_EQ(name_of("\5evil\0\7example\3com\0"s), "");  // a NUL
  EXPECT_EQ(name_of("\7ex mple\3com\0"s), "");
  EXPECT_EQ(name_of("\10ex\xC3\xA4mple\3com\0"s), "");  // not as xn--
  EXPECT_EQ(name_of(Name("-x.com")), "");
  const std::string label(63, 'x');
  EXPECT_EQ(name_of(Name(label + ".com")), label + ".com");
  EXPECT_EQ(name_of("\x40" + label + "x\0"s), "unreadable");  // 64 bytes: no label
  const std::string longest = label + "." + label + "." + label + "." + label.substr(2);
  EXPECT_EQ(longest.size(), 253U);
  EXPECT_EQ(name_of(Name(longest)), longest);
  EXPECT_EQ(name_of(Name(longest + "x")), "unreadable");
}

TEST(QueryTest, GarbageGetsNoAnswerOrFormatError) {
  EXPECT_FALSE(ReadQuery(""));
  EXPECT_FALSE(ReadQuery("short"));
  EXPECT_FALSE(ReadQuery(std::string(kMaxQueryBytes + 1, 'x')));
  EXPECT_FALSE(ReadQuery(Header(1, kResponse, {}) + Question(Name("a"), 1)));  // reflected
  const auto is_format_error = [](const std::string& message) {
    const auto query = ReadQuery(message);
    return query && query->question.empty() && Code(WriteReply(*query, {}, kUdpBytes)) == 1;
  };
  EXPECT_TRUE(is_format_error(Header(1, 0, {})));
  EXPECT_TRUE(is_format_error(Header(1, 0, {.questions = 0})));
  EXPECT_TRUE(is_format_error(Header(1, 0, {.questions = 2}) + Question(Name("a"), 1) +
                              Question(Name("b"), 1)));
  EXPECT_TRUE(is_format_error(Header(1, 0, {}) + Question("\xC0\x0C", 1)));     // itself
  EXPECT_TRUE(is_format_error(Header(1, 0, {}) + Question("\1a\xC0\x0C", 1)));  // a loop
  EXPECT_TRUE(is_format_error(Ask("a", 1).substr(0, 16)));
  std::string cut_edns = WithEdns(Ask("a", 1), 1232);
  cut_edns.resize(cut_edns.size() - 3);
  EXPECT_TRUE(is_format_error(cut_edns));
}

TEST(QueryTest, RecordsThatDoNotBelongThereCostNothing) {
  std::string query = Header(1, 0, {.answers = 3, .additional = 65535}) + Question(Name("a"), 1);
  EXPECT_EQ(ReadQuery(query + std::string(2000, '\xC0'))->name, "a");
  query = Header(1, 0, {.additional = 65535}) + Question(Name("a"), 1);
  EXPECT_EQ(ReadQuery(query + std::string(2000, '\xC0'))->name, "a");
}

TEST(QueryTest, AnyBytesAreReadOrRefused) {
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp): the same bytes in each run
  const std::string whole = WithEdns(Ask("git.example.com", type::kA), 1232);
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = whole.substr(0, random() % (whole.size() + 1));
    for (int flips = 0; flips < 4 && !bytes.empty(); ++flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const auto query = ReadQuery(bytes);
    if (query) {
      EXPECT_GE(WriteReply(*query, {.addresses = {Ipv4(1)}}, kUdpBytes).size(), 12U);
    }
  }
}

TEST(ReplyTest, EchoesTheQuestionAsItWasSpelled) {
  const auto query = ReadQuery(Ask("GiT.example.com", type::kA));
  const std::string reply = WriteReply(*query, {.addresses = {Ipv4(0xC6120100)}}, kUdpBytes);
  EXPECT_EQ(WordAt(reply, 0), 0x1234U);
  EXPECT_EQ(WordAt(reply, 2), 0x8180U);  // QR RD RA
  EXPECT_EQ(Answers(reply), 1U);
  EXPECT_NE(reply.find("\3GiT\7example\3com"), std::string::npos);
  EXPECT_TRUE(reply.ends_with(std::string("\0\4\xC6\x12\x01\x00", 6)));
}

TEST(ReplyTest, NegativeOnesSayForHowLong) {
  const auto query = ReadQuery(Ask("a.example.com", type::kA));
  for (const Rcode code : {Rcode::kNoError, Rcode::kNoName}) {
    const std::string reply = WriteReply(*query, {.code = code}, kUdpBytes);
    EXPECT_EQ(Code(reply), static_cast<std::size_t>(code));
    EXPECT_EQ(Answers(reply), 0U);
    EXPECT_EQ(WordAt(reply, 8), 1U);  // SOA
  }
  EXPECT_EQ(WordAt(WriteReply(*query, {.code = Rcode::kRefused}, kUdpBytes), 8), 0U);
}

TEST(ReplyTest, WhatDoesNotFitIsTruncated) {
  const auto query = ReadQuery(Ask("a.example.com", type::kAny));
  Reply reply;
  for (std::uint32_t i = 0; i < 100; ++i) reply.addresses.push_back(Ipv4(i));
  const std::string cut = WriteReply(*query, reply, kUdpBytes);
  EXPECT_LE(cut.size(), kUdpBytes);
  EXPECT_NE(WordAt(cut, 2) & 0x0200, 0U);
  EXPECT_EQ(Answers(cut), 0U);
  EXPECT_EQ(Answers(WriteReply(*query, reply, 65535)), 100U);
}

TEST(ReplyTest, EdnsIsAnsweredWithEdns) {
  const auto query = ReadQuery(WithEdns(Ask("a", 1), 1232, 1));
  EXPECT_EQ(query->edns_version, 1);
  const std::string reply = WriteReply(*query, {.code = Rcode::kBadVersion}, kUdpBytes);
  EXPECT_EQ(Code(reply), 0U);  // the upper bits are in the OPT record
  EXPECT_EQ(WordAt(reply, 10), 1U);
  EXPECT_EQ(reply[reply.size() - 6], 1);
}

TEST(ReverseTest, NamesAddresses) {
  EXPECT_EQ(ReverseAddress("0.1.18.198.in-addr.arpa"), ParseAddress("198.18.1.0"));
  EXPECT_EQ(
      ReverseAddress("0.0.1.0.2.1.6.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.c.6.c.6.5.6.3.6.d.f.ip6.arpa"),
      ParseAddress("fd63:656c:6c00::c612:100"));
  for (const char* name : {"18.198.in-addr.arpa", "x.1.18.198.in-addr.arpa", "in-addr.arpa",
                           "256.1.18.198.in-addr.arpa", "0.1.ip6.arpa", "1.2.3.4.example.com",
                           "1.0.1.18.198.in-addr.arpa", ""}) {
    EXPECT_FALSE(ReverseAddress(name)) << name;
  }
}

}  // namespace
}  // namespace cellrun::net
