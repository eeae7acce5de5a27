// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/yaml_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace cellrun::policy {
namespace {

using testing::HasSubstr;

std::string Problems(const std::string& text) {
  YamlNode root;
  std::string problems;
  for (const Problem& problem : ReadYaml({"", "f.yaml", text}, &root)) {
    problems += problem.ToString() + "\n";
  }
  return problems;
}

std::string Repeat(const std::string& text, std::size_t count) {
  std::string repeated;
  for (std::size_t i = 0; i < count; ++i) repeated += text;
  return repeated;
}

PlainMeaning Meaning(const std::string& text, bool quoted = false) {
  YamlNode node;
  node.kind = YamlNode::Kind::kScalar;
  node.text = text;
  node.quoted = quoted;
  return MeaningOf(node);
}

TEST(YamlTreeTest, KeepsTextAndPlaces) {
  YamlNode root;
  ASSERT_TRUE(ReadYaml({"", "f.yaml", "a:\n  b: [x, \"y\"]\n"}, &root).empty());
  const YamlNode* list = root.Find("a")->Find("b");
  ASSERT_EQ(list->items.size(), 2U);
  EXPECT_EQ(list->items[0].text, "x");
  EXPECT_FALSE(list->items[0].quoted);
  EXPECT_TRUE(list->items[1].quoted);
  EXPECT_EQ(list->items[1].line, 2);
  EXPECT_EQ(list->items[1].column, 10);
}

TEST(YamlTreeTest, CountsColumnsInCharacters) {
  EXPECT_THAT(Problems("\"\xC3\xA4\xE2\x82\xAC\": {b: 1, b: 2}\n"), HasSubstr("f.yaml:1:14: dup"));
}

TEST(YamlTreeTest, ReadsAFileWithByteOrderMarkAndCarriageReturns) {
  YamlNode root;
  ASSERT_TRUE(ReadYaml({"", "f.yaml",
                        "\xEF\xBB\xBF"
                        "a: b\r\nc: d\r\n"},
                       &root)
                  .empty());
  EXPECT_EQ(root.Find("a")->text, "b");
  EXPECT_EQ(root.Find("c")->text, "d");
}

TEST(YamlTreeTest, RefusesWhatTheFormatDoesNotHave) {
  const std::pair<const char*, const char*> cases[] = {
      {"a: 1\na: 2\n",
       "f.yaml:2:1: duplicate key 'a'; expected each key once; it is already in "
       "line 1"},
      {"a: {b: 1, \"b\": 2}\n", "f.yaml:1:11: duplicate key 'b'"},
      {"a: &x 1\n", "f.yaml:1:4: an anchor"},
      {"a: &x 1\nb: *x\n", "f.yaml:2:4: an alias"},
      {"&x a: 1\n", "f.yaml:1:1: an anchor"},
      {"a: !!str 1\n", "f.yaml:1:4: a tag"},
      {"a: ! 012\n", "f.yaml:1:4: a tag"},
      {"a: !<?> x\n", "f.yaml:1:4: a tag"},
      {"a: ! [b]\n", "f.yaml:1:4: a tag"},
      {"a: !!map {b: c}\n", "f.yaml:1:4: a tag"},
      {"!x a: 1\n", "f.yaml:1:1: a tag"},
      {"%YAML 1.1\n---\na: 1\n", "f.yaml:1:1: a YAML directive"},
      {"# c\n%TAG ! x\n---\na: 1\n", "f.yaml:2:1: a YAML directive"},
      {"a: 1\n---\nb: 1\n", "f.yaml:2:1: a second document"},
      {"a: 1\n...\nb: 1\n", "f.yaml:3:1: a second document"},
      {"- a\nb: c\n", "f.yaml:2:1: a second document"},
      {"[a, b]: c\n", "f.yaml:1:1: a list or map as a key"},
      {"? {a: b}\n: c\n", "f.yaml:1:3: a list or map as a key"},
      {": c\n", "an empty key"},
      {"{a: b, , }\n", "an empty key"},
      {"", "f.yaml:1:1: an empty document"},
      {"# nothing\n", "an empty document"},
      {"a: b\n\tc: d\n", "f.yaml:2:1: not valid YAML"},
      {"a: [b\n", "not valid YAML"},
      {"a: \"b", "not valid YAML"},
      {"a: \"b\n", "f.yaml:1:4: a quoted text that does not end"},
      {"a: 'b''\n", "f.yaml:1:4: a quoted text that does not end"},
      {"a: \"b\\\"\n", "f.yaml:1:4: a quoted text that does not end"},
      {"a: \"\\0\"\n", "f.yaml:1:4: a NUL character"},
      {"a: \x01\n", "f.yaml:1:4: a control character"},
      {"a: 1\nb: \xE2\x80\xAE"
       "c\n",
       "f.yaml:2:4: a character that reorders"},
      {"a: 1\nb: \xFF\n", "f.yaml:2:1: text that is not UTF-8"},
      {"a: 1\n\xED\xA0\x80", "f.yaml:2:1: text that is not UTF-8"},
  };
  for (const auto& [text, problem] : cases) {
    EXPECT_THAT(Problems(text), HasSubstr(problem)) << text;
  }
  EXPECT_THAT(Problems(std::string("a\0: 1\n", 6)), HasSubstr("f.yaml:1:2: a control character"));
}

TEST(YamlTreeTest, EscapesWhatItShows) {
  EXPECT_THAT(Problems("\"\\e[31m\": 1\n\"\\e[31m\": 2\n"),
              HasSubstr("duplicate key '\\u{1b}[31m'"));
}

TEST(YamlTreeTest, RefusesMoreThanAMebibyte) {
  EXPECT_THAT(Problems(std::string(kMaxProfileBytes + 1, ' ')), HasSubstr("at most 1048576"));
  EXPECT_THAT(Problems(std::string(10U << 20, 'a')), HasSubstr("a file of 10485760 bytes"));
}

TEST(YamlTreeTest, AllowsThirtyTwoLevelsAndNoMore) {
  EXPECT_EQ(Problems(Repeat("[", 32) + Repeat("]", 32)), "");
  EXPECT_THAT(Problems("x: " + Repeat("[", 32) + Repeat("]", 32)), HasSubstr("nested too deeply"));
}

// Each of these once cost some YAML parser its stack or quadratic time.
TEST(YamlTreeTest, TakesHostileDocumentsInShortTime) {
  const std::string documents[] = {
      Repeat("[", 100'000),
      Repeat("{a: ", 100'000),
      "x: " + Repeat("[", 100'000),
      Repeat("- ", 100'000),
      Repeat("? ", 100'000),
      Repeat("a: ", 300'000),
      Repeat("!a ", 300'000),
      Repeat("&a", 500'000),
      Repeat("---\n", 250'000),
      Repeat("%TAG !a! b\n", 90'000),
      "\"" + Repeat("\n", 1'000'000),
      "a: |\n" + Repeat("\n", 1'000'000),
      "a: " + Repeat("x\n ", 300'000),
      "a: [" + Repeat("x, ", 300'000),
      "{" + Repeat("a: b, ", 170'000),
      Repeat(" ", 1'000'000) + "a",
  };
  for (const std::string& document : documents) {
    const auto start = std::chrono::steady_clock::now();
    (void)Problems(document);  // some of them are well-formed
    const auto taken = std::chrono::steady_clock::now() - start;
    EXPECT_LT(taken, std::chrono::seconds(5)) << document.substr(0, 20);
  }
}

TEST(YamlTreeTest, FindsDuplicatesAmongManyKeysInShortTime) {
  std::string document;
  for (int i = 0; i < 60'000; ++i) document += "key" + std::to_string(i) + ": 1\n";
  document += "key7: 2\n";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_THAT(Problems(document), HasSubstr("f.yaml:60001:1: duplicate key 'key7'"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(PlainMeaningTest, FollowsTheCoreSchema) {
  for (const char* text : {"true", "True", "FALSE"}) {
    EXPECT_EQ(Meaning(text), PlainMeaning::kBoolean) << text;
  }
  for (const char* text : {"no", "on", "yes", "off", "y", "tRUE", "truex", "0b1", "1_000", "1:30",
                           "2026-01-01", "0x", "0o8", "e1", ".", "-", "1e", "10.0.0.0/8"}) {
    EXPECT_EQ(Meaning(text), PlainMeaning::kText) << text;
  }
  for (const char* text : {"0", "010", "-1", "+1", "0x1F", "0o17"}) {
    EXPECT_EQ(Meaning(text), PlainMeaning::kInteger) << text;
  }
  for (const char* text : {"1.0", "3.10", "1e3", ".5", "-.inf", ".nan", "5."}) {
    EXPECT_EQ(Meaning(text), PlainMeaning::kFloat) << text;
  }
  EXPECT_EQ(Meaning("true", true), PlainMeaning::kText);
  EXPECT_EQ(Meaning("1", true), PlainMeaning::kText);
}

}  // namespace
}  // namespace cellrun::policy
