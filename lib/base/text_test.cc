// SPDX-License-Identifier: Apache-2.0
#include "lib/base/text.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace cellrun::text {
namespace {

TEST(TextTest, EscapesControlCharactersThatMoveTheCursor) {
  EXPECT_EQ(Escape("a\x1b[2Jb\r\n\x7f"), "a\\u{1b}[2Jb\\u{d}\\u{a}\\u{7f}");
  EXPECT_EQ(Escape("\xc2\x9b"
                   "1m"),
            "\\u{9b}1m");  // C1 CSI, encoded
}

TEST(TextTest, EscapesBidiZeroWidthPrivateAndTagCharacters) {
  EXPECT_EQ(Escape("\u202e"), "\\u{202e}");
  EXPECT_EQ(Escape("\u200b"), "\\u{200b}");
  EXPECT_EQ(Escape("\ue000"), "\\u{e000}");
  EXPECT_EQ(Escape("\U000e0041"), "\\u{e0041}");
  EXPECT_EQ(Escape("\u2066"), "\\u{2066}");
  EXPECT_EQ(Escape("\u3164"), "\\u{3164}");
}

TEST(TextTest, ShowsBytesThatAreNotUtf8) {
  EXPECT_EQ(Escape("\xff"), "\\x{ff}");
  EXPECT_EQ(Escape("\xc0\xaf"), "\\x{c0}\\x{af}");             // overlong
  EXPECT_EQ(Escape("\xed\xa0\x80"), "\\x{ed}\\x{a0}\\x{80}");  // surrogate
  EXPECT_EQ(Escape("\xe2\x82"), "\\x{e2}\\x{82}");             // cut
}

TEST(TextTest, LeavesOrdinaryTextOfAnyScriptAlone) {
  EXPECT_EQ(Escape("grüße 日本 🙂 a b"), "grüße 日本 🙂 a b");
}

TEST(TextTest, NeverMapsTwoInputsToOneOutput) {
  EXPECT_NE(Escape("\\u{1b}"), Escape("\x1b"));
  EXPECT_NE(Escape("\\x{ff}"), Escape("\xff"));
}

TEST(TextTest, KeepsArgumentBoundaries) {
  const std::vector<std::string> arguments = {"git", "commit", "-m", "two words", "", "say \"hi\""};
  EXPECT_EQ(QuoteArguments(arguments), R"(git commit -m "two words" "" "say \"hi\"")");
  const std::vector<std::string> joined = {"git", "commit", "-m", "two", "words"};
  EXPECT_NE(QuoteArguments(arguments), QuoteArguments(joined));
}

TEST(TextTest, CutsAtACharacterAndSaysSo) {
  EXPECT_EQ(EscapeShort("abcdef", 6), "abcdef");
  EXPECT_EQ(EscapeShort("abcdef", 5), "ab…");
  EXPECT_EQ(EscapeShort("üüü", 5), "ü…");
}

TEST(TextTest, KnowsUtf8) {
  EXPECT_TRUE(IsUtf8("grüße"));
  EXPECT_FALSE(IsUtf8("\xf4\x90\x80\x80"));
  EXPECT_FALSE(IsUtf8("a\x80"));
}

}  // namespace
}  // namespace cellrun::text
