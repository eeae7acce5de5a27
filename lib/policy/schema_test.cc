// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "lib/policy/document_fixture.h"
#include "lib/policy/show.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

TEST(KeyTableTest, EveryKeyStandsOnceAndSaysWhatItMeans) {
  std::set<std::string> paths;
  for (const Key& key : KeyTable()) {
    EXPECT_TRUE(paths.insert(key.path).second) << key.path;
    const std::string meaning = key.meaning, risk = key.risk;
    EXPECT_TRUE(meaning.ends_with('.')) << key.path;
    EXPECT_TRUE(risk.empty() || risk.ends_with('.')) << key.path;
    EXPECT_NE(std::string(InfoOf(key.type).name), "") << key.path;
    EXPECT_EQ(key.type == Type::kChoice, *key.choices != '\0') << key.path;
  }
  EXPECT_GT(paths.size(), 100U);
}

TEST(KeyTableTest, DefaultsAreWhatAnEmptyProfileHas) {
  const nlohmann::json shown =
      nlohmann::json::parse(ShowProfile(fixture::Load("name: x\n"), ShowFormat::kJson));
  int compared = 0;
  for (const Key& key : KeyTable()) {
    const std::string path = key.path;
    if (*key.standard == '\0' || path.find("[]") != std::string::npos) continue;
    if (path == "network.dns.upstream") continue;  // the system's: nothing is shown
    nlohmann::json::json_pointer pointer;
    std::string_view rest = path;
    while (!rest.empty()) {
      const std::size_t dot = std::min(rest.find('.'), rest.size());
      pointer /= std::string(rest.substr(0, dot));
      rest.remove_prefix(std::min(dot + 1, rest.size()));
    }
    ASSERT_TRUE(shown.contains(pointer)) << path;
    const nlohmann::json& leaf = shown[pointer];
    std::string value;
    for (const nlohmann::json& entry : leaf.is_array() ? leaf : nlohmann::json::array({leaf})) {
      const nlohmann::json& one = entry["value"];
      value +=
          (value.empty() ? "" : ", ") + (one.is_string() ? one.get<std::string>() : one.dump());
      EXPECT_EQ(entry["origin"], "default") << path;
    }
    EXPECT_EQ(leaf.is_array() ? "[" + value + "]" : value, key.standard) << path;
    ++compared;
  }
  EXPECT_EQ(compared, 15);
}

TEST(KeyTableTest, NestedSectionsAreReachable) {
  const KeyNode* rules = KeyTree().Find("commands")->Find("rules");
  ASSERT_NE(rules, nullptr);
  ASSERT_NE(rules->Find("when"), nullptr);
  EXPECT_STREQ(rules->Find("when")->Find("exe")->key->path, "commands.rules[].when.exe");
  EXPECT_EQ(rules->Find("exe"), nullptr);
}

TEST(NearestKeyTest, FindsTypingErrorsOnly) {
  const KeyNode& root = KeyTree();
  EXPECT_EQ(NearestKey(root, "comands"), "commands");
  EXPECT_EQ(NearestKey(root, "netwrok"), "network");
  EXPECT_EQ(NearestKey(root, "enviroment"), "environment");
  EXPECT_EQ(NearestKey(root, "banana"), "");
  EXPECT_EQ(NearestKey(root, std::string(100'000, 'x')), "");
}

TEST(EditDistanceTest, CountsSwapsOnce) {
  EXPECT_EQ(EditDistance("", ""), 0U);
  EXPECT_EQ(EditDistance("abc", "abc"), 0U);
  EXPECT_EQ(EditDistance("abc", "acb"), 1U);
  EXPECT_EQ(EditDistance("abc", "ab"), 1U);
  EXPECT_EQ(EditDistance("abc", "xyz"), 3U);
}

}  // namespace
}  // namespace cellrun::policy
