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

TEST(DocumentTest, SurvivesBytesThatAreNotUtf8) {
  EXPECT_EQ(Document(json("\xff"), Format::kJsonLines), "\"\xEF\xBF\xBD\"\n");
}

}  // namespace
}  // namespace cellrun::output
