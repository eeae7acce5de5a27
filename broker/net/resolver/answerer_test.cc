// SPDX-License-Identifier: Apache-2.0
#include "broker/net/resolver/answerer.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "broker/net/message/wire_fixture.h"

namespace cellrun::net {
namespace {

using namespace wire_fixture;  // NOLINT(google-build-using-namespace)

constexpr std::size_t kTxt = 16, kMx = 15, kHttps = 65, kNull = 10, kNs = 2;

class AnswererTest : public testing::Test {
 protected:
  AnswererTest() { profile_.network_default.value = policy::Action::kDeny; }
  void Allow(std::vector<std::string> to) {
    policy::NetworkRule rule;
    rule.to = std::move(to);
    rule.then = policy::Action::kAllow;
    profile_.network_rules.push_back(rule);
  }
  Answerer& Under(ResolverLimits limits = {}, std::size_t names = Names::kLimit) {
    auto compiled = policy::NetworkPolicy::Compile(profile_);
    EXPECT_TRUE(compiled.ok());
    names_ = std::make_shared<Names>(names);
    judge_ = std::make_shared<EgressJudge>(
        std::make_shared<const policy::NetworkPolicy>(std::move(compiled.value())));
    answerer_ = std::make_unique<Answerer>(
        names_, judge_, limits,
        ResolverEvents{
            .assigned = [this](const std::string& name, const auto&) { assigned_.insert(name); },
            .refused = [this](const std::string& name) { refused_.insert(name); }});
    return *answerer_;
  }
  std::string Ask(std::string_view name, std::size_t type) {
    return answerer_->Answer(wire_fixture::Ask(name, type), Answerer::Transport::kDatagram);
  }
  std::size_t CodeOf(std::string_view name, std::size_t type = type::kA) {
    return Code(Ask(name, type));
  }

  policy::Profile profile_;
  std::shared_ptr<Names> names_;
  std::shared_ptr<EgressJudge> judge_;
  std::unique_ptr<Answerer> answerer_;
  std::set<std::string> assigned_, refused_;
};

constexpr std::size_t kFine = 0, kServFail = 2, kNxDomain = 3, kNotImp = 4, kRefusedCode = 5;

TEST_F(AnswererTest, AnOpenNameHasAnAddressInEachFamily) {
  Allow({"git.example.com"});
  Under();
  const std::string ipv4 = Ask("GIT.example.com", type::kA);
  EXPECT_EQ(Code(ipv4), kFine);
  EXPECT_EQ(Answers(ipv4), 1U);
  EXPECT_TRUE(ipv4.ends_with(std::string("\0\4\xC6\x12\x01\0", 6)));
  const std::string ipv6 = Ask("git.example.com", type::kAaaa);
  EXPECT_EQ(Answers(ipv6), 1U);
  EXPECT_TRUE(ipv6.ends_with(std::string("\xC6\x12\x01\0", 4)));
  EXPECT_EQ(Answers(Ask("git.example.com", type::kAny)), 2U);
  EXPECT_EQ(Ask("git.example.com", type::kA).substr(40), ipv4.substr(40));
  EXPECT_EQ(assigned_, std::set<std::string>{"git.example.com"});
}

// G2: an exact rule opens nothing below it, for no type.
TEST_F(AnswererTest, AnExactRuleOpensNothingBelowIt) {
  Allow({"example.com"});
  Under();
  for (const std::size_t type : {std::size_t{type::kA}, std::size_t{type::kAaaa}, kTxt, kMx, kNull,
                                 kHttps, kNs, std::size_t{type::kAny}}) {
    EXPECT_EQ(CodeOf("c2VjcmV0.example.com", type), kNxDomain) << type;
  }
  EXPECT_EQ(names_->size(), 0U);
  EXPECT_EQ(answerer_->counters().closed, 8U);
  EXPECT_EQ(refused_, std::set<std::string>{"c2vjcmv0.example.com"});
}

TEST_F(AnswererTest, OtherTypesOfAnOpenNameAreEmpty) {
  Allow({"example.com"});
  Under();
  for (const std::size_t type :
       {kTxt, kMx, kNull, kHttps, std::size_t{64}, kNs, std::size_t{type::kPtr}}) {
    const std::string answer = Ask("example.com", type);
    EXPECT_EQ(Code(answer), kFine) << type;
    EXPECT_EQ(Answers(answer), 0U) << type;
    EXPECT_EQ(WordAt(answer, 8), 1U) << type;  // SOA: it may be remembered for a moment
  }
  EXPECT_EQ(names_->size(), 0U);  // nobody wanted an address
}

TEST_F(AnswererTest, OddNamesDoNotExist) {
  Allow({"*"});
  Under();
  const auto code_of = [&](const std::string& wire) {
    return Code(answerer_->Answer(Header(1, kRecursionDesired, {}) + Question(wire, type::kA),
                                  Answerer::Transport::kDatagram));
  };
  EXPECT_EQ(code_of(std::string("\5evil\0\7example\3com\0", 19)), kNxDomain);
  EXPECT_EQ(code_of(std::string("\x0C"
                                "evil.example\3com\0",
                                18)),
            kNxDomain);
  EXPECT_EQ(code_of(Name("ex mple.com")), kNxDomain);
  EXPECT_EQ(code_of(Name("127.0.0.1")), kNxDomain);
  EXPECT_EQ(code_of(Name("0x7f000001")), kNxDomain);
  EXPECT_EQ(code_of(Name("_srv.example.com")), kFine);
  EXPECT_EQ(code_of(Name("xn--exmple-cua.com")), kFine);
  EXPECT_EQ(code_of(Name("")), kFine);  // the root: no data
  EXPECT_TRUE(refused_.empty() || !refused_.contains(""));
}

TEST_F(AnswererTest, WhatIsNoQuestionIsRefused) {
  Allow({"*"});
  Under();
  EXPECT_EQ(CodeOf("example.com", type::kAxfr), kRefusedCode);
  EXPECT_EQ(CodeOf("example.com", type::kIxfr), kRefusedCode);
  EXPECT_EQ(Code(answerer_->Answer(Header(1, 0, {}) + Question(Name("version.bind"), kTxt, 3),
                                   Answerer::Transport::kDatagram)),
            kRefusedCode);
  for (const std::size_t opcode : {1U, 2U, 4U, 5U}) {
    EXPECT_EQ(Code(answerer_->Answer(Header(1, opcode << 11, {}) + Question(Name("a"), 1),
                                     Answerer::Transport::kDatagram)),
              kNotImp);
  }
  EXPECT_EQ(answerer_->Answer("junk", Answerer::Transport::kDatagram), "");
  EXPECT_EQ(names_->size(), 0U);
}

TEST_F(AnswererTest, AddressesLeadBackToNames) {
  Allow({"git.example.com"});
  Under();
  (void)Ask("git.example.com", type::kA);
  const std::string name = "0.1.18.198.in-addr.arpa";
  const std::string answer = Ask(name, type::kPtr);
  EXPECT_EQ(Answers(answer), 1U);
  EXPECT_NE(answer.find("\3git\7example\3com"), std::string::npos);
  EXPECT_EQ(CodeOf(name, type::kA), kFine);
  EXPECT_EQ(Answers(Ask(name, type::kA)), 0U);
  EXPECT_EQ(CodeOf("1.1.18.198.in-addr.arpa", type::kPtr), kNxDomain);
  EXPECT_EQ(CodeOf("8.8.8.8.in-addr.arpa", type::kPtr), kNxDomain);
  EXPECT_NE(Ask("1.0.0.127.in-addr.arpa", type::kPtr).find("localhost"), std::string::npos);
}

TEST_F(AnswererTest, ReverseNamesAreNoFreeText) {
  Allow({"*"});
  Under();
  EXPECT_EQ(CodeOf("c2VjcmV0.in-addr.arpa"), kNxDomain);
  EXPECT_EQ(CodeOf("c2VjcmV0.in-addr.arpa", type::kPtr), kNxDomain);
  EXPECT_EQ(names_->size(), 0U);
}

TEST_F(AnswererTest, LocalhostIsTheCellItself) {
  Under();
  EXPECT_TRUE(Ask("localhost", type::kA).ends_with(std::string("\x7F\0\0\1", 4)));
  EXPECT_TRUE(Ask("web.localhost", type::kAaaa).ends_with(std::string("\0\0\0\1", 4)));
  EXPECT_EQ(CodeOf("localhost.example.com"), kNxDomain);
}

TEST_F(AnswererTest, TheHostIsANameWhereARuleNamesIt) {
  Allow({"*"});
  Under();
  EXPECT_EQ(CodeOf("host"), kNxDomain);
  Allow({"host"});
  Under();
  EXPECT_TRUE(Ask("host", type::kA).ends_with(std::string("\xC6\x12\0\1", 4)));
}

TEST_F(AnswererTest, NamesBelowAWildcardAreBounded) {
  Allow({"*.example.com", "long.long.long.long.long.long.long.long.long.example.com"});
  Under();
  EXPECT_EQ(CodeOf("a.b.c.d.e.f.g.h.example.com"), kFine);
  EXPECT_EQ(CodeOf("a.b.c.d.e.f.g.h.i.j.example.com"), kNxDomain);
  EXPECT_EQ(CodeOf(std::string(63, 'x') + "." + std::string(63, 'x') + ".example.com"), kNxDomain);
  EXPECT_EQ(CodeOf("long.long.long.long.long.long.long.long.long.example.com"), kFine);
  EXPECT_EQ(answerer_->counters().capped, 2U);
}

TEST_F(AnswererTest, NewNamesBelowAWildcardComeSlowly) {
  Allow({"*.example.com", "exact.example.org"});
  Under({.new_names_per_second = 0.001, .new_names_burst = 3});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(CodeOf("n" + std::to_string(i) + ".example.com"), kFine);
  EXPECT_EQ(CodeOf("n3.example.com"), kServFail);
  EXPECT_EQ(CodeOf("n2.example.com"), kFine);  // it has its addresses
  EXPECT_EQ(CodeOf("exact.example.org"), kFine);
  EXPECT_EQ(answerer_->counters().capped, 1U);
}

TEST_F(AnswererTest, FullIsSaidAndTakesNothingAway) {
  Allow({"*"});
  Under({}, 2);
  EXPECT_EQ(CodeOf("a.org"), kFine);
  EXPECT_EQ(CodeOf("b.org"), kFine);
  EXPECT_EQ(CodeOf("c.org"), kServFail);
  EXPECT_EQ(CodeOf("a.org"), kFine);
  EXPECT_EQ(answerer_->counters().full, 1U);
}

TEST_F(AnswererTest, ANarrowedPolicyClosesTheName) {
  Allow({"example.com"});
  Under();
  EXPECT_EQ(CodeOf("example.com"), kFine);
  profile_.network_rules.clear();
  auto narrower = policy::NetworkPolicy::Compile(profile_);
  judge_->Replace(std::make_shared<const policy::NetworkPolicy>(std::move(narrower.value())));
  EXPECT_EQ(CodeOf("example.com"), kNxDomain);
}

}  // namespace
}  // namespace cellrun::net
