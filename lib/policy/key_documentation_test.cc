// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/key_documentation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "lib/policy/json_schema.h"
#include "lib/policy/schema.h"

namespace cellrun::policy {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(KeyReferenceTest, ReadmeIsNotStale) {
  const std::string readme = ReadFile(CELLRUN_SOURCE_DIR "/profiles/README.md");
  EXPECT_THAT(readme,
              HasSubstr("<!-- begin of the generated key reference -->\n\n" +
                        ProfileKeyReference() + "\n<!-- end of the generated key reference -->\n"))
      << "run: cellrun-profile-docs readme profiles/README.md";
}

TEST(KeyReferenceTest, HasARowForEveryKeyWithFiveCells) {
  const std::string reference = ProfileKeyReference();
  for (const Key& key : KeyTable()) {
    const std::size_t row = reference.find("| `" + std::string(key.path) + "` |");
    ASSERT_NE(row, std::string::npos) << key.path;
    const std::string line = reference.substr(row, reference.find('\n', row) - row);
    std::size_t bars = 0;
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '|' && (i == 0 || line[i - 1] != '\\')) ++bars;
    }
    EXPECT_EQ(bars, 6U) << line;
  }
}

TEST(ManualPageTest, DescribesEveryKey) {
  const std::string page = ProfileManualPage();
  EXPECT_TRUE(page.starts_with("cellrun-profile(5)\n"));
  for (const Key& key : KeyTable()) {
    std::string name;
    for (const char c : std::string(key.path)) {
      if (c == '[' || c == ']') name += '\\';
      name += c;
    }
    EXPECT_THAT(page, HasSubstr("*" + name + "*:")) << key.path;
  }
}

// Counts the keys below "properties", at every depth.
std::size_t CountProperties(const Json& schema) {
  std::size_t count = 0;
  if (schema.contains("properties")) {
    for (const Json& property : schema["properties"]) count += 1 + CountProperties(property);
  }
  if (schema.contains("items")) count += CountProperties(schema["items"]);
  return count;
}

TEST(JsonSchemaTest, HasEveryKey) {
  const Json schema = Json::parse(JsonSchema());
  EXPECT_EQ(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(CountProperties(schema), KeyTable().size());
}

TEST(JsonSchemaTest, IsAsStrictAsTheLoader) {
  const Json schema = Json::parse(JsonSchema());
  EXPECT_EQ(schema["additionalProperties"], false);
  EXPECT_EQ(schema["required"], Json::array({"cellrun"}));
  const Json& rule = schema["properties"]["commands"]["properties"]["rules"]["items"];
  EXPECT_EQ(rule["additionalProperties"], false);
  EXPECT_EQ(rule["required"], Json::array({"when", "then"}));
  EXPECT_EQ(rule["properties"]["when"]["minProperties"], 1);
  EXPECT_EQ(rule["properties"]["then"]["enum"], Json::array({"allow", "ask", "deny"}));
  EXPECT_EQ(rule["properties"]["approvers"]["maximum"], 16);
  EXPECT_EQ(rule["properties"]["when"]["properties"]["exe"]["anyOf"][1]["minItems"], 1);
  EXPECT_THAT(rule["properties"]["then"]["description"], HasSubstr("The verdict."));
}

}  // namespace
}  // namespace cellrun::policy
