// SPDX-License-Identifier: Apache-2.0
#include "launcher/terminal/output_filter.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace cellrun::terminal {
namespace {

std::string Filter(std::string_view bytes) {
  OutputFilter filter;
  std::string out;
  filter.Process(bytes, out);
  return out;
}
// The same whole, byte by byte, and cut in two at every position.
void ExpectFiltered(const std::string& input, const std::string& expected) {
  EXPECT_EQ(Filter(input), expected) << testing::PrintToString(input);
  for (std::size_t cut = 0; cut <= input.size(); ++cut) {
    OutputFilter filter;
    std::string out;
    filter.Process(input.substr(0, cut), out);
    filter.Process(input.substr(cut), out);
    EXPECT_EQ(out, expected) << testing::PrintToString(input) << " cut at " << cut;
  }
  OutputFilter filter;
  std::string out;
  for (const char byte : input) filter.Process({&byte, 1}, out);
  EXPECT_EQ(out, expected) << testing::PrintToString(input) << " byte by byte";
}
void ExpectPasses(const std::string& input) {
  ExpectFiltered(input, input);
}
void ExpectDropped(const std::string& input) {
  ExpectFiltered("a" + input + "b", "ab");
}

TEST(OutputFilterTest, PassesDrawingUntouched) {
  ExpectPasses("plain text\r\n\t\b\a");
  ExpectPasses("\x1b[1;31mred\x1b[0m\x1b[2J\x1b[H\x1b[?1049h\x1b[?25l\x1b[38:2::1:2:3m");
  ExpectPasses(
      "\x1b(0lqk\x1b(B\x1b"
      "7\x1b"
      "8\x1b=\x1b>\x1bM\x1b#8\x1b"
      "c\x1b[>4;2m\x1b[ q\x1b[2 q\x1b[!p");
  ExpectPasses("\x1b[14t\x1b[18t\x1b[22;0t\x1b[23;0t");
  ExpectPasses(
      "\x1b]0;a title\x07\x1b]2;another\x1b\\\x1b]4;1;rgb:00/00/00\x07\x1b]104\x07\x1b]133;A\x07");
  ExpectPasses("\x1b]8;;https://example.com/a;b\x1b\\link\x1b]8;;\x1b\\");
  ExpectPasses("\x1bP0;1;0q\"1;1;8;8#0!8~-\x1b\\");
}

TEST(OutputFilterTest, PassesEveryUtf8Character) {
  ExpectPasses(
      "\xc3\xa9\xe2\x9c\x9c\xf0\x9f\x98\x80\xe2\x82\x9b\xc2\xa0\xc4\x9b\xe3\x81\x9d\xd0\x90\xef\xbf"
      "\xbd");
  std::string all;
  for (unsigned code = 0xa0; code < 0x3000; ++code) {
    if (code < 0x800) {
      all += {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
    } else {
      all +=
          {static_cast<char>(0xe0 | (code >> 12)), static_cast<char>(0x80 | ((code >> 6) & 0x3f)),
           static_cast<char>(0x80 | (code & 0x3f))};
    }
  }
  EXPECT_EQ(Filter(all), all);
  ExpectPasses("\x1b]0;title \xe2\x9c\x9c of bytes like controls\x07");
}

TEST(OutputFilterTest, DropsClipboardAndPrivateStrings) {
  ExpectDropped("\x1b]52;c;ZXZpbA==\x07");
  ExpectDropped("\x1b]52;c;ZXZpbA==\x1b\\");
  ExpectDropped("\x1b]52;c;ZXZpbA==\xc2\x9c");
  ExpectDropped("\x1b]52;c;?\x9c");
  ExpectDropped("\x1b]052;c;x\x07");
  ExpectDropped("\x1b]1337;File=name=x:AAAA\x07");
  ExpectDropped("\x1b]7;file://host/\x07");
  ExpectDropped("\x1b]9;notify\x07");
  ExpectDropped("\x1b]777;notify;x;y\x07");
  ExpectDropped("\x1b]50;?\x07");
  ExpectDropped("\x1b]3;WM_NAME=x\x07");
  ExpectDropped("\x1b]\x07");
  ExpectDropped("\x1b]L;x\x07");
  ExpectDropped("\x1b]8;;file:///bin/sh\x07");
  ExpectDropped("\x1b]0;two\nlines\x07");
  ExpectDropped("\x1b]0;" + std::string(10'000, 'x') + "\x07");
}

TEST(OutputFilterTest, DropsReportsAndWindowOperations) {
  for (const char* sequence :
       {"\x1b[20t", "\x1b[21t", "\x1b[021t", "\x1b[21;1t", "\x1b[3;0;0t", "\x1b[8;1;1t", "\x1b[5i",
        "\x1b[i", "\x1b[1;1;1;1;9;9*y", "\x1b[t", "\x1b[2t", "\x1b[11t"}) {
    ExpectDropped(sequence);
  }
  // Executed at once by a terminal, and the sequence goes on.
  ExpectFiltered("\x1b[2\n1t", "\n");
  ExpectFiltered(
      "\x1b[2\x7f"
      "1t",
      "");
}

TEST(OutputFilterTest, DropsUnknownStrings) {
  ExpectDropped("\x1b_Gf=100,t=f;L2V0Yy9wYXNzd2Q=\x1b\\");
  ExpectDropped("\x1b^message\x1b\\");
  ExpectDropped("\x1bXstring\x1b\\");
  ExpectDropped("\x1bkwindow name\x1b\\");
  ExpectDropped("\x1bPtmux;\x1b\x1b]52;c;eA==\x07\x1b\\");
  ExpectDropped("\x1bP$qm\x1b\\");
  ExpectDropped("\x1bP+q544e\x1b\\");
  ExpectDropped("\x1bP1;2|17/17\x1b\\");
  ExpectDropped("\x1bP" + std::string(1000, '1') + "q\x1b\\");
}

TEST(OutputFilterTest, TreatsEightBitFormsAsTheirEscForms) {
  ExpectDropped(
      "\x9d"
      "52;c;ZXZpbA==\x07");
  ExpectDropped(
      "\xc2\x9d"
      "52;c;ZXZpbA==\xc2\x9c");
  ExpectDropped(
      "\x9b"
      "21t");
  ExpectDropped(
      "\xc2\x9b"
      "21t");
  ExpectDropped(
      "\x90"
      "$qm\x9c");
  ExpectDropped(
      "\x9f"
      "Gx\x9c");
  ExpectDropped(
      "\x9e"
      "x\x9c");
  ExpectDropped(
      "\x98"
      "x\x9c");
  ExpectFiltered(
      "\x9b"
      "1m",
      "\x1b[1m");
  // A character cut short hides nothing.
  ExpectFiltered("\xe2\x1b[21t", "\xe2");
  ExpectFiltered(
      "\xc3"
      "a\x9b"
      "21t",
      "\xc3"
      "a");
  ExpectFiltered("\xc2\x1b[21t", "\xc2");
}

// Some terminals end any string at a C1 control, also one that is written as a character.
TEST(OutputFilterTest, AStringThatPassesHidesNoControl) {
  ExpectDropped(
      "\x1b]0;title\xc2\x9d"
      "52;c;QQ==\x07");
  ExpectDropped(
      "\x1b]4;1;\xc2\x9b"
      "5i\x1b\\");
  ExpectDropped(
      "\x1b]2;title\x9d"
      "52;c;QQ==\x07");
  ExpectDropped(
      "\x1b]2;cut \xe2\xc2\x9d"
      "52;c;QQ==\x07");
  ExpectPasses("\x1b]0;\xe2\x9d\x9c \xc3\x9d \xf0\x9f\x98\x80 \xc2\xa0\x07");
}

TEST(OutputFilterTest, KeepsTheTerminalInUtf8) {
  ExpectDropped("\x1b%@");
  ExpectPasses("\x1b%G");
}

// What is left of a sequence that was broken off must not join what follows.
TEST(OutputFilterTest, ForgetsABrokenOffSequenceWhole) {
  ExpectFiltered(
      "\x1b[2\x1b]52;c;x\x07"
      "1t",
      "1t");
  ExpectFiltered(
      "\x1b[2\x18"
      "1t",
      "1t");
  ExpectFiltered("\x1b]52;c;\x1b[1mx", "\x1b[1mx");
  ExpectFiltered("\x1b]0;x\x1b[21ty", "y");
  ExpectFiltered("\x1b\x1b[21tx", "x");
  ExpectFiltered(
      "\x1b[\x9b"
      "21tx",
      "x");
  ExpectFiltered(
      "\x1b[2\xc3\xa9"
      "1t",
      "\xc3\xa9"
      "1t");
  ExpectFiltered("\x1b[" + std::string(1000, '1') + "mx", "x");
}

TEST(OutputFilterTest, NoticesQueries) {
  const auto asks = [](std::string_view bytes) {
    OutputFilter filter;
    std::string out;
    filter.Process(bytes, out);
    return filter.saw_query();
  };
  for (const char* query :
       {"\x1b[c", "\x1b[>c", "\x1b[6n", "\x1b]11;?\x07", "\x1b[?2026$p", "\x1b[18t", "\x1bZ"}) {
    EXPECT_TRUE(asks(query)) << query + 1;
  }
  EXPECT_FALSE(asks("text \x1b[1m \x1b]0;title\x07"));
}

// Whatever comes in, an independent look at what comes out finds nothing forbidden.
TEST(OutputFilterTest, LetsNothingForbiddenThroughRandomInput) {
  std::mt19937 random(11);
  const std::string alphabet =
      "\x1b\x1b\x1b[]P_^X\\52;c021t\x07\x18\x9b\x9d\x90\x9c\xc2\xc3\xe2 qi?*y\n";
  for (int round = 0; round < 200'000; ++round) {
    std::string input;
    for (auto length = random() % 24; length > 0; --length)
      input += alphabet[random() % alphabet.size()];
    const std::string out = Filter(input);
    for (const char* forbidden :
         {"\x1b]52", "\x1b_", "\x1b^", "\x1bX", "\x1b[21t", "\x1b[20t", "\x1b[5i", "\x1b]\x07"}) {
      ASSERT_EQ(out.find(forbidden), std::string::npos) << testing::PrintToString(input);
    }
    ASSERT_EQ(Filter(out + "."), out + ".")
        << "filtering twice changes nothing: " << testing::PrintToString(input);
  }
}

}  // namespace
}  // namespace cellrun::terminal
