// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/pattern.h"

#include <gtest/gtest.h>

namespace cellrun::policy {
namespace {

using Strings = std::vector<std::string>;

bool ArgumentsMatch(const Strings& patterns, const Strings& arguments) {
  return ArgumentsPattern::Compile(patterns).value().Matches(arguments);
}
std::string Mismatch(const Strings& patterns, const Strings& arguments) {
  return ArgumentsPattern::Compile(patterns).value().Mismatch(arguments);
}

TEST(ArgumentsPatternTest, EveryArgumentIsMatchedInOrder) {
  EXPECT_TRUE(ArgumentsMatch({"push", "**"}, {"push"}));
  EXPECT_TRUE(ArgumentsMatch({"push", "**"}, {"push", "origin", "main"}));
  EXPECT_FALSE(ArgumentsMatch({"push", "**"}, {"-C", "/x", "push"}));
  EXPECT_TRUE(ArgumentsMatch({"**", "push", "**"}, {"-C", "/x", "push", "-f"}));
  EXPECT_TRUE(ArgumentsMatch({}, {}));
  EXPECT_FALSE(ArgumentsMatch({}, {"x"}));
  EXPECT_TRUE(ArgumentsMatch({"**"}, {}));
  EXPECT_FALSE(ArgumentsMatch({"*"}, {}));
  EXPECT_TRUE(ArgumentsMatch({"*"}, {""}));
  EXPECT_TRUE(ArgumentsMatch({"**", "a", "**", "b"}, {"a", "b", "a", "b"}));
  EXPECT_FALSE(ArgumentsMatch({"**", "a", "**", "b"}, {"b", "a"}));
  EXPECT_TRUE(ArgumentsMatch({"**", "**", "x"}, {"x"}));
}

TEST(ArgumentsPatternTest, ManyStarsOverManyArgumentsStayFast) {
  Strings patterns;
  for (int i = 0; i < 60; ++i) {
    patterns.emplace_back("**");
    patterns.emplace_back("a");
  }
  patterns.emplace_back("b");
  EXPECT_FALSE(ArgumentsMatch(patterns, Strings(20000, "a")));
}

TEST(ArgumentsPatternTest, MismatchNamesTheFirstArgumentThatFitsNowhere) {
  EXPECT_EQ(Mismatch({"push", "**"}, {"pull"}), "'pull' is not 'push'");
  EXPECT_EQ(Mismatch({"push"}, {"push", "x"}), "'x' is one argument too many");
  EXPECT_EQ(Mismatch({"push", "origin"}, {"push"}), "'origin' is missing");
  EXPECT_EQ(Mismatch({"push", "**", "x"}, {"push", "a"}), "'x' is missing");
  EXPECT_EQ(Mismatch({"push"}, {"\x1b[2J"}), "'\\u{1b}[2J' is not 'push'");
}

TEST(PatternTest, RegularExpressionMustMatchTheWhole) {
  const Pattern pattern = Pattern::Compile("re:git(-[a-z]+)?", GlobKind::kArgument).value();
  EXPECT_TRUE(pattern.Matches("git-upload"));
  EXPECT_FALSE(pattern.Matches("xgit"));
  EXPECT_FALSE(pattern.Matches("git "));
}

TEST(PatternTest, NothingSlipsPastARegularExpressionByNewlineOrBadUtf8) {
  const Pattern pattern = Pattern::Compile("re:.*force.*", GlobKind::kArgument).value();
  EXPECT_TRUE(pattern.Matches("a\nforce\nb"));
  EXPECT_TRUE(pattern.Matches("\xff\xfe force"));
}

TEST(PatternTest, BadAndOversizedRegularExpressionsAreRefused) {
  EXPECT_FALSE(Pattern::Compile("re:(", GlobKind::kArgument).ok());
  EXPECT_FALSE(Pattern::Compile("re:((a{1000}){1000}){1000}", GlobKind::kArgument).ok());
  EXPECT_FALSE(Pattern::Compile("re:(a)\\1", GlobKind::kArgument).ok());
}

TEST(PatternTest, EscapedTextIsALiteral) {
  EXPECT_EQ(Pattern::Compile("a\\*b", GlobKind::kPath).value().literal(), "a*b");
  EXPECT_EQ(Pattern::Compile("[", GlobKind::kPath).value().literal(), "[");
  EXPECT_FALSE(Pattern::Compile("a*", GlobKind::kPath).value().literal());
}

}  // namespace
}  // namespace cellrun::policy
