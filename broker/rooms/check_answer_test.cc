// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/check_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cellrun::rooms {
namespace {

using Verdict = CheckAnswer::Verdict;
using testing::ElementsAre;

TEST(CheckAnswerTest, TakesWhatItUnderstands) {
  EXPECT_EQ(ParseCheckAnswer(R"({"verdict":"allow"})")->verdict, Verdict::kAllow);
  EXPECT_EQ(ParseCheckAnswer("{\"verdict\":\"ask\"}\n")->verdict, Verdict::kAsk);
  const Result<CheckAnswer> denied = ParseCheckAnswer(R"({"verdict":"deny","reason":"no"})");
  EXPECT_EQ(denied->verdict, Verdict::kDeny);
  EXPECT_EQ(denied->reason, "no");
  const Result<CheckAnswer> other = ParseCheckAnswer(R"({"verdict":"rewrite","argv":["a","b"]})");
  EXPECT_EQ(other->verdict, Verdict::kRewrite);
  EXPECT_THAT(other->argv, ElementsAre("a", "b"));
}

TEST(CheckAnswerTest, RefusesEverythingElse) {
  const std::string long_reason(1025, 'x');
  for (const std::string& text :
       {std::string(), std::string("allow"), std::string("{}"), std::string("[]"),
        std::string(R"({"verdict":"yes"})"), std::string(R"({"verdict":true})"),
        std::string(R"({"verdict":"allow","verdict":"allow"})"),
        std::string(R"({"verdict":"allow","why":"x"})"),
        std::string(R"({"verdict":"allow","argv":["a"]})"),
        std::string(R"({"verdict":"allow"}{"verdict":"allow"})"),
        std::string(R"({"verdict":"allow"} x)"), std::string(R"({"verdict":"rewrite"})"),
        std::string(R"({"verdict":"rewrite","argv":[]})"),
        std::string(R"({"verdict":"rewrite","argv":[1]})"),
        std::string(R"({"verdict":"rewrite","argv":"a"})"),
        R"({"verdict":"deny","reason":")" + long_reason + "\"}"}) {
    EXPECT_FALSE(ParseCheckAnswer(text).ok()) << text;
  }
}

}  // namespace
}  // namespace cellrun::rooms
