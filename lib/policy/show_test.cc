// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/show.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lib/policy/document_fixture.h"

namespace cellrun::policy {
namespace {

using fixture::Body;
using fixture::Load;
using testing::HasSubstr;

Profile Sample() {
  return Load({Body("limits: {files: 64}\n", Layer::kFloor, "floor"),
               Body("name: strict\n"
                    "extends: [base]\n"
                    "commands:\n"
                    "  rules:\n"
                    "    - name: no-root\n"
                    "      when: {exe: [sudo, \"no\"], env: {CI: null}}\n"
                    "      then: deny\n"
                    "filesystem: {read: [/srv/data]}\n"
                    "network: {groups: {value: [a.example], origin: [b.example]}}\n",
                    Layer::kProfile, "strict"),
               Body("environment: {pass: [LANG], set: {A: \"1\"}}\n", Layer::kInherited, "base")});
}

TEST(ShowTest, TextHasEachValuesOrigin) {
  const std::string text = ShowProfile(Sample(), ShowFormat::kText);
  EXPECT_THAT(text, HasSubstr("name: strict\n"));
  EXPECT_THAT(text, HasSubstr("  default: ask  # default\n"));
  EXPECT_THAT(text, HasSubstr("    - name: no-root  # strict.yaml:6\n"
                              "      when: {exe: [sudo, \"no\"], env: {CI: null}}\n"
                              "      then: deny\n"));
  EXPECT_THAT(text, HasSubstr("  read:\n    - /srv/data  # strict.yaml:9\n"));
  EXPECT_THAT(text, HasSubstr("  files: 64  # floor.yaml:2 (floor)\n"));
  EXPECT_THAT(text, HasSubstr("  pass:\n    - LANG  # base.yaml:2\n"));
  EXPECT_THAT(text, HasSubstr("  set:\n    A: \"1\"  # base.yaml:2\n"));
  EXPECT_THAT(text, HasSubstr("  tmp: 2G  # default\n"));
}

TEST(ShowTest, JsonPairsValuesWithOrigins) {
  const nlohmann::json shown = nlohmann::json::parse(ShowProfile(Sample(), ShowFormat::kJson));
  EXPECT_EQ(shown["limits"]["files"]["value"], 64);
  EXPECT_EQ(shown["limits"]["files"]["origin"], "floor.yaml:2");
  EXPECT_EQ(shown["limits"]["files"]["layer"], "floor");
  EXPECT_EQ(shown["commands"]["rules"][0]["value"]["name"], "no-root");
  EXPECT_EQ(shown["commands"]["rules"][0]["origin"], "strict.yaml:6");
  EXPECT_EQ(shown["network"]["groups"]["value"][0], "a.example");
}

TEST(ShowTest, IsDeterministic) {
  EXPECT_EQ(ShowProfile(Sample(), ShowFormat::kText), ShowProfile(Sample(), ShowFormat::kText));
  EXPECT_EQ(ShowProfile(Sample(), ShowFormat::kJson), ShowProfile(Sample(), ShowFormat::kJson));
}

TEST(ShowTest, EscapesTextOfFiles) {
  const Profile profile = Load({Body("description: \"\\e[2J\"\nfilesystem: {read: [\"/\\e]2J\"]}\n",
                                     Layer::kProfile, "a\nb\xFF")});
  for (const ShowFormat format : {ShowFormat::kText, ShowFormat::kJson}) {
    const std::string shown = ShowProfile(profile, format);
    EXPECT_EQ(shown.find('\x1B'), std::string::npos);
    EXPECT_EQ(shown.find("a\nb"), std::string::npos);
    EXPECT_EQ(shown.find('\xFF'), std::string::npos);
  }
}

// What is shown without origins is a profile again, with the same values.
TEST(ShowTest, TextReadsBackAsAProfile) {
  const std::string text = ShowProfile(Sample(), ShowFormat::kText);
  std::string again;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    const std::string line = text.substr(at, end - at);
    if (!line.starts_with("documents:")) again += line + "\n";
    at = end + 1;
  }
  const Profile profile = Load({fixture::Doc(again)});
  EXPECT_EQ(profile.command_rules.size(), 1U);
  EXPECT_EQ(profile.limits.files->value, 64U);
  EXPECT_EQ(profile.environment_set.at("A").value, "1");
}

}  // namespace
}  // namespace cellrun::policy
