// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/screen_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/watch/line_editor.h"

namespace cellrun::watch {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(ScreenTextTest, ShowsOnlyWhatEveryTerminalDrawsAlike) {
  const auto safe = [](std::string_view raw) { return DisplaySafe(raw, Charset::kUtf8); };
  EXPECT_EQ(safe("plain é Ж 漢"), "plain é Ж 漢");
  EXPECT_EQ(safe("a\033[2Jb\n"), "a\\u{1b}[2Jb\\u{a}");
  EXPECT_EQ(safe("e\u0301"), "e\\u{301}") << "it would hang on its neighbour";
  EXPECT_EQ(safe("\u202egpj"), "\\u{202e}gpj");
  EXPECT_EQ(safe("\u05d0"), "\\u{5d0}") << "terminals that know bidi reorder the row";
  EXPECT_EQ(safe("\U0001f600"), "\\u{1f600}") << "one column here, two there";
  EXPECT_EQ(safe("\xff"), "\\x{ff}");
  EXPECT_EQ(safe("\\u{1b}"), "\\\\u{1b}") << "not what a control character looks like";
}

TEST(ScreenTextTest, IsAsciiWhereTheLocaleIs) {
  EXPECT_EQ(DisplaySafe("é漢", Charset::kAscii), "\\u{e9}\\u{6f22}");
  EXPECT_EQ(DisplayQuoted("é", Charset::kAscii), "\"\\u{e9}\"");
  EXPECT_EQ(CutMiddle("abcdefghij", 7, Charset::kAscii), "ab...ij");
}

TEST(ScreenTextTest, MeasuresWhatIsWide) {
  EXPECT_EQ(Columns("ab漢字"), 6U);
  EXPECT_EQ(Fit("漢字漢字", 5, Charset::kUtf8), "漢…字");
  EXPECT_EQ(Columns(Fit("漢字漢字", 4, Charset::kUtf8)), 4U) << "padded where half a one is left";
  EXPECT_THAT(Wrap("a漢字b", 3), ElementsAre("a漢", "字b"));
  EXPECT_THAT(Wrap("", 10), ElementsAre(""));
}

TEST(ScreenTextTest, CutsTheMiddleAndKeepsBothEnds) {
  EXPECT_EQ(CutMiddle("/usr/lib/very/long/path/tool", 11, Charset::kUtf8), "/usr/…/tool");
  EXPECT_EQ(CutMiddle("short", 5, Charset::kUtf8), "short");
  for (std::size_t columns = 0; columns < 12; ++columns) {
    EXPECT_LE(Columns(CutMiddle("漢字漢字漢字漢字", columns, Charset::kUtf8)), columns);
    EXPECT_LE(Columns(CutMiddle("aaaaaaaaaaaaaaaaa", columns, Charset::kAscii)), columns);
  }
}

TEST(ScreenTextTest, WritesArgumentsThatReadBackTheSame) {
  const std::vector<std::vector<std::string>> cases = {
      {"git", "push"},
      {"", " ", "a b", "\"", "\\", "\\u{41}", "'"},
      {"\033[31m", "line\nline", "\u202e", "é", "漢", "\u0301", "\xff\xfe", "-n", "\t"},
  };
  for (const auto& words : cases) {
    for (const Charset charset : {Charset::kAscii, Charset::kUtf8}) {
      EXPECT_EQ(ParseArguments(DisplayArguments(words, charset)), words);
    }
  }
}

TEST(LineEditorTest, RefusesWhatDoesNotSayWhatItMeans) {
  for (const char* line :
       {"\"open", "a\\", "\\u{}", "\\u{110000}", "\\u{0}", "\\x{100}", "\\q", "\\u{41", "\\u41"}) {
    EXPECT_EQ(ParseArguments(line), std::nullopt) << line;
  }
  EXPECT_THAT(*ParseArguments("  "), ElementsAre());
  EXPECT_THAT(*ParseArguments("a\"b c\"d  \"\""), ElementsAre("ab cd", ""));
}

TEST(LineEditorTest, KeepsTheCursorInItsWindow) {
  LineEditor editor("0123456789");
  EXPECT_EQ(editor.Draw(5, Charset::kUtf8).safe, "6789");
  EXPECT_EQ(editor.Draw(5, Charset::kUtf8).cursor, 4U);
  editor.Press({Key::Kind::kHome});
  EXPECT_EQ(editor.Draw(5, Charset::kUtf8).safe, "01234");
  editor.Press({Key::Kind::kDelete});
  editor.Press({Key::Kind::kCharacter, U'é'});
  EXPECT_EQ(editor.text(), "é123456789");
  EXPECT_THAT(editor.Draw(20, Charset::kAscii).safe, Not(HasSubstr("é")));
}

}  // namespace
}  // namespace cellrun::watch
