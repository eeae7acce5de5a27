// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/glob.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <string>
#include <vector>

namespace cellrun::policy {
namespace {

bool Match(std::string_view pattern, std::string_view subject, GlobKind kind) {
  const Result<Glob> glob = Glob::Compile(pattern, kind);
  EXPECT_TRUE(glob.ok()) << pattern;
  return glob.ok() && glob.value().Matches(subject);
}
bool Path(std::string_view pattern, std::string_view subject) {
  return Match(pattern, subject, GlobKind::kPath);
}
bool Argument(std::string_view pattern, std::string_view subject) {
  return Match(pattern, subject, GlobKind::kArgument);
}
std::string Refusal(std::string_view pattern) {
  const Result<Glob> glob = Glob::Compile(pattern, GlobKind::kPath);
  return glob.ok() ? "" : glob.error().operation();
}

TEST(GlobTest, StarStopsAtSlashInPathsOnly) {
  EXPECT_TRUE(Path("/usr/bin/*", "/usr/bin/gcc"));
  EXPECT_FALSE(Path("/usr/bin/*", "/usr/bin/sub/gcc"));
  EXPECT_TRUE(Path("/usr/*/gcc", "/usr/bin/gcc"));
  EXPECT_FALSE(Path("/usr/*/gcc", "/usr/a/b/gcc"));
  EXPECT_TRUE(Argument("--prefix=*", "--prefix=/usr/local"));
  EXPECT_TRUE(Argument("a*c", "a/b/c"));
  EXPECT_FALSE(Argument("a*c", "a/b/d"));
}

TEST(GlobTest, DoubleStarCrossesSlashesAndMayBeNoComponent) {
  EXPECT_TRUE(Path("/usr/lib/gcc/**", "/usr/lib/gcc/x86_64/12/cc1"));
  EXPECT_FALSE(Path("/usr/lib/gcc/**", "/usr/lib/gcc"));
  EXPECT_FALSE(Path("/usr/lib/gcc/**", "/usr/lib/gccx/cc1"));
  EXPECT_TRUE(Path("/a/**/b", "/a/b"));
  EXPECT_TRUE(Path("/a/**/b", "/a/x/y/b"));
  EXPECT_FALSE(Path("/a/**/b", "/a/xb"));
  EXPECT_TRUE(Path("**/.env", ".env"));
  EXPECT_TRUE(Path("**/.env", "/deep/down/.env"));
  EXPECT_FALSE(Path("**/.env", "/deep/x.env"));
  EXPECT_TRUE(Path("/a/x**", "/a/xy/z"));
  EXPECT_TRUE(Path("/a/***/b", "/a/c/d/b"));
}

TEST(GlobTest, QuestionMarkIsOneCharacterNotOneByte) {
  EXPECT_TRUE(Argument("?", "a"));
  EXPECT_TRUE(Argument("?", "é"));
  EXPECT_TRUE(Argument("?", "\xff"));
  EXPECT_TRUE(Argument("??", "\xff\xfe"));
  EXPECT_TRUE(Argument("?", "\xf0\x9f\x98\x80"));
  EXPECT_FALSE(Argument("??", "é"));
  EXPECT_FALSE(Argument("?", ""));
  EXPECT_FALSE(Path("/usr?bin", "/usr/bin"));
}

TEST(GlobTest, SetsAndTheirNegations) {
  EXPECT_TRUE(Argument("[abc]x", "bx"));
  EXPECT_FALSE(Argument("[abc]x", "dx"));
  EXPECT_TRUE(Argument("[!abc]x", "dx"));
  EXPECT_TRUE(Argument("[^abc]x", "dx"));
  EXPECT_FALSE(Argument("[!abc]x", "ax"));
  EXPECT_TRUE(Argument("[]a]", "]"));
  EXPECT_TRUE(Argument("[a-]", "-"));
  EXPECT_TRUE(Argument("[à-ü]", "é"));
  EXPECT_TRUE(Argument("v[[:digit:].]*", "v1.2"));
  EXPECT_FALSE(Argument("v[[:digit:].]", "vx"));
  EXPECT_FALSE(Path("/a[!b]c", "/a/c"));
  EXPECT_TRUE(Argument("[\\]]", "]"));
}

TEST(GlobTest, BracesNestAndMayBeEmpty) {
  for (const char* command : {"install", "ci", "i"}) {
    EXPECT_TRUE(Argument("{install,ci,i}", command)) << command;
  }
  EXPECT_FALSE(Argument("{install,ci,i}", "installer"));
  EXPECT_TRUE(Argument("a{b,c{d,e}f,}g", "acefg"));
  EXPECT_TRUE(Argument("a{b,c{d,e}f,}g", "ag"));
  EXPECT_FALSE(Argument("a{b,c{d,e}f,}g", "acg"));
  EXPECT_TRUE(Argument("{*.c,*.h}", "x.h"));
  EXPECT_TRUE(Argument("{}", "{}"));
  EXPECT_TRUE(Argument("{one}", "one"));
  EXPECT_TRUE(Path("/{usr/,}bin/ls", "/bin/ls"));
  EXPECT_TRUE(Path("/{usr/**,opt}/x", "/usr/a/b/x"));
}

TEST(GlobTest, WhatFollowsAnAlternativeOrAStarIsNotForgotten) {
  EXPECT_TRUE(Argument("{a,b}cd", "acd"));
  EXPECT_FALSE(Argument("{a,b}cd", "a"));
  EXPECT_FALSE(Argument("{a,b}cd", "xcd"));
  EXPECT_TRUE(Path("/{a,}/b", "//b"));
  EXPECT_TRUE(Path("**/x/y", "x/y"));
  EXPECT_FALSE(Path("**/x/y", "y"));
  EXPECT_TRUE(Argument("*x{a,b}", "xxb"));
}

TEST(GlobTest, BackslashTakesTheMeaningAway) {
  EXPECT_TRUE(Argument("\\*", "*"));
  EXPECT_FALSE(Argument("\\*", "x"));
  EXPECT_TRUE(Argument(EscapeGlob("a*b?[c]{d,e}\\"), "a*b?[c]{d,e}\\"));
  EXPECT_TRUE(Glob::Compile(EscapeGlob("a*b?[c]{d,e}\\"), GlobKind::kPath).value().literal());
}

TEST(GlobTest, MalformedPatternsAreRefusedWithTheReason) {
  EXPECT_EQ(Refusal("a[b"), "'[' is not closed");
  EXPECT_EQ(Refusal("a[b\\"), "'[' is not closed");
  EXPECT_EQ(Refusal("a{b"), "'{' is not closed");
  EXPECT_EQ(Refusal("a{b,c"), "'{' is not closed");
  EXPECT_EQ(Refusal("a\\"), "pattern ends in a backslash");
  EXPECT_EQ(Refusal("[z-a]"), "range inside '[' runs backwards");
  EXPECT_EQ(Refusal("[[:foo:]]"), "unknown class of characters inside '['");
  EXPECT_EQ(Refusal(std::string("a\0b", 3)), "pattern contains a NUL");
  EXPECT_EQ(Refusal(std::string(5000, 'a')), "pattern is longer than 4096 bytes");
  EXPECT_EQ(Refusal(std::string(1200, '?')), "pattern has too many parts");
  EXPECT_EQ(Refusal(std::string(40, '{') + "a" + std::string(40, '}')),
            "braces are nested too deeply");
  EXPECT_EQ(Refusal("["), "");
}

// Each of these takes exponential or high polynomial time when matched by backtracking.
TEST(GlobTest, TimeIsLinearForPatternsThatExplodeUnderBacktracking) {
  // Begins and ends as the patterns do, so that the automaton has to run.
  const std::string subject = std::string(20000, 'a') + "b";
  const auto start = std::chrono::steady_clock::now();
  std::string stars, braces;
  for (int i = 0; i < 40; ++i) stars += "a*";
  for (int i = 0; i < 16; ++i) braces += "{a,aa,{a,aaa}*}*";
  EXPECT_FALSE(Argument(stars + "c*b", subject));
  EXPECT_FALSE(Argument(braces + "c*b", subject));
  EXPECT_FALSE(Path("/**/**/**/**/**/**/x*b", "/" + subject));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(GlobTest, NoSubjectMatchesAcrossItsEnds) {
  EXPECT_FALSE(Argument("b", "abc"));
  EXPECT_FALSE(Argument("ab", "abc"));
  EXPECT_FALSE(Argument("a*b", "xayb"));
  EXPECT_TRUE(Argument("*", ""));
  EXPECT_TRUE(Argument("**", "anything at all"));
}

// The obvious matcher, exponential and without braces in the pattern: what a glob means.
bool Reference(std::string_view pattern, std::string_view subject) {
  if (pattern.empty()) return subject.empty();
  const auto skip = [&](std::size_t of_pattern, std::size_t of_subject) {
    return Reference(pattern.substr(of_pattern), subject.substr(of_subject));
  };
  const bool slash = !subject.empty() && subject[0] == '/';
  if (pattern.starts_with("**/")) {
    for (std::size_t i = 0; i <= subject.size(); ++i) {
      if ((i == 0 || subject[i - 1] == '/') && skip(3, i)) return true;
    }
    return false;
  }
  if (pattern.starts_with("**")) return skip(2, 0) || (!subject.empty() && skip(0, 1));
  if (pattern[0] == '*') return skip(1, 0) || (!subject.empty() && !slash && skip(0, 1));
  if (pattern[0] == '?') return !subject.empty() && !slash && skip(1, 1);
  return !subject.empty() && subject[0] == pattern[0] && skip(1, 1);
}

// Every way to choose among braces.
std::vector<std::string> Expand(const std::string& pattern) {
  const std::size_t close = pattern.find('}');
  if (close == std::string::npos) return {pattern};
  const std::size_t open = pattern.rfind('{', close);
  std::vector<std::string> expanded;
  std::string inner = pattern.substr(open + 1, close - open - 1) + ",";
  for (std::size_t start = 0, comma = 0; (comma = inner.find(',', start)) != std::string::npos;
       start = comma + 1) {
    for (std::string& each : Expand(pattern.substr(0, open) + inner.substr(start, comma - start) +
                                    pattern.substr(close + 1))) {
      expanded.push_back(std::move(each));
    }
  }
  return expanded;
}

TEST(GlobTest, AgreesWithTheObviousMatcherOnRandomPatterns) {
  std::mt19937 random(20250601);
  const auto pick = [&](std::initializer_list<const char*> pieces) {
    return std::string(pieces.begin()[random() % pieces.size()]);
  };
  int matches = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string pattern = "/", subject = "/";
    for (std::size_t i = random() % 5; i > 0; --i) {
      pattern +=
          pick({"a", "b", "*", "/", "?", "/**/", "{a,b/}", "{*a,}", "{a,{b,?}}b", "ab", "/**"});
    }
    for (std::size_t i = random() % 7; i > 0; --i) subject += pick({"a", "b", "/", "ab"});
    const std::vector<std::string> all = Expand(pattern);
    // Stars of two alternatives that meet are two stars, not one "**".
    const bool meets =
        pattern.find("*{*") != std::string::npos ||
        (pattern.find("*{") != std::string::npos && pattern.find("}*") != std::string::npos);
    const bool unclear = meets || std::any_of(all.begin(), all.end(), [](const std::string& each) {
                           return each.find("***") != std::string::npos;
                         });
    if (unclear) continue;
    const bool expected = std::any_of(
        all.begin(), all.end(), [&](const std::string& each) { return Reference(each, subject); });
    ASSERT_EQ(Path(pattern, subject), expected) << pattern << " on " << subject;
    matches += expected ? 1 : 0;
  }
  EXPECT_GT(matches, 500);
}

}  // namespace
}  // namespace cellrun::policy
