// SPDX-License-Identifier: Apache-2.0
#include "launcher/output/rows.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cellrun::output {
namespace {

using nlohmann::json;

TEST(TableTest, AlignsByCharactersNotBytes) {
  EXPECT_EQ(Table({{"A", "B"}, {"é…", "x"}, {"abc", ""}}, true), "A    B\né…   x\nabc\n");
}

TEST(TableTest, LeavesTheHeaderOut) {
  EXPECT_EQ(Table({{"NAME"}, {"x"}}, false), "x\n");
}

TEST(DocumentTest, WritesOneLineForEachElement) {
  EXPECT_EQ(Document(json::array({{{"a", 1}}, {{"a", 2}}}), Format::kJsonLines),
            "{\"a\":1}\n{\"a\":2}\n");
  EXPECT_EQ(Document({{"a", 1}}, Format::kJsonLines), "{\"a\":1}\n");
}

TEST(DocumentTest, WritesBlockYaml) {
  const json document = {
      {"a", {{"b", json::array({1, "x: y"})}}}, {"c", json::array()}, {"d", nullptr}};
  EXPECT_EQ(Document(document, Format::kYaml),
            "\"a\":\n  \"b\":\n    - 1\n    - \"x: y\"\n\"c\": []\n\"d\": null\n");
}

TEST(DocumentTest, WritesListsOfObjectsAsYaml) {
  const json document = json::array({{{"a", 1}, {"b", json::array({2})}}, {{"a", 3}}});
  EXPECT_EQ(Document(document, Format::kYaml), "- \"a\": 1\n  \"b\":\n    - 2\n- \"a\": 3\n");
}

TEST(DocumentTest, HidesNothingAndObeysNobody) {
  // A control of eight bits, bidi, zero width, a tag beyond 16 bits, DEL; what people write stays.
  const std::string text = "\u009b2J \u202ex \u200b \U000e0041 \x7f \x1b é 漢 😀";
  for (const Format format : {Format::kJson, Format::kJsonLines, Format::kYaml}) {
    const std::string shown = Document(json{{"a", text}}, format);
    for (const char* hidden : {"\u009b", "\u202e", "\u200b", "\U000e0041", "\x7f", "\x1b"})
      EXPECT_EQ(shown.find(hidden), std::string::npos) << shown;
    for (const char* form : {"\\u009b2J", "\\u202ex", "\\udb40\\udc41", "\\u007f", "é 漢 😀"})
      EXPECT_NE(shown.find(form), std::string::npos) << shown;
    if (format != Format::kYaml) {
      EXPECT_EQ(json::parse(shown)["a"], text) << "the same value";
    }
  }
}

TEST(DocumentTest, SurvivesBytesThatAreNotUtf8) {
  EXPECT_EQ(Document(json("\xff"), Format::kJsonLines), "\"\xEF\xBF\xBD\"\n");
}

}  // namespace
}  // namespace cellrun::output
