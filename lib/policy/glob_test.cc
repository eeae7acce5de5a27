// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/glob.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

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
  const std::string subject(20000, 'a');
  const auto start = std::chrono::steady_clock::now();
  std::string stars, braces;
  for (int i = 0; i < 40; ++i) stars += "a*";
  for (int i = 0; i < 16; ++i) braces += "{a,aa,{a,aaa}*}*";
  EXPECT_FALSE(Argument(stars + "b", subject));
  EXPECT_FALSE(Argument(braces + "b", subject));
  EXPECT_FALSE(Path("/**/**/**/**/**/**/x", "/" + subject));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(GlobTest, NoSubjectMatchesAcrossItsEnds) {
  EXPECT_FALSE(Argument("b", "abc"));
  EXPECT_FALSE(Argument("ab", "abc"));
  EXPECT_FALSE(Argument("a*b", "xayb"));
  EXPECT_TRUE(Argument("*", ""));
  EXPECT_TRUE(Argument("**", "anything at all"));
}

}  // namespace
}  // namespace cellrun::policy
