// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/ask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>

namespace cellrun::watch {
namespace {

using testing::ElementsAre;

TEST(AskTest, ReadsTheApisObjectAndRefusesOthers) {
  const auto object = nlohmann::json::parse(R"({"id":"7f3a","state":"pending","digest":"sha256:1",
    "argv":["a","\\x{ff}"],"escaped":["argv[1]"],"env":[{"name":"A","before":null,"after":"b"}],
    "rule":{"file":"f","line":3},"left_ms":5,"new":{}})");
  const auto ask = AskFromJson(object);
  ASSERT_TRUE(ask);
  EXPECT_THAT(ask->argv, ElementsAre("a", "\xff"));
  EXPECT_EQ(ask->environment.at(0).before, std::nullopt);
  EXPECT_EQ(ask->environment.at(0).after, "b");
  EXPECT_TRUE(ask->writable) << "unless it is said that it is not";
  for (const char* bad :
       {R"({"id":"../x","digest":"d"})", R"({"id":"a"})", R"({"digest":"d"})",
        R"({"id":"a","digest":"d","argv":"x"})", R"([])", R"({"id":"a","digest":"d","env":[1]})",
        R"({"id":"a","digest":"d","rule":3})"}) {
    EXPECT_FALSE(AskFromJson(nlohmann::json::parse(bad))) << bad;
  }
}

}  // namespace
}  // namespace cellrun::watch
