// SPDX-License-Identifier: Apache-2.0
#include "launcher/run_verb.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <variant>

namespace cellrun::launcher {
namespace {

using testing::ElementsAre;
using testing::Pair;

RunOptions Options(const std::vector<std::string>& words) {
  auto outcome = options::Parse(words);
  const auto* arguments = std::get_if<options::Arguments>(&outcome);
  if (arguments == nullptr) {
    ADD_FAILURE() << std::get<options::UsageError>(outcome).what;
    return {};
  }
  return ToRunOptions(*arguments);
}

TEST(ToRunOptionsTest, LeavesEverythingToTheProfileByDefault) {
  const RunOptions run = Options({"make"});
  EXPECT_EQ(run.profile, "");
  EXPECT_EQ(run.workspace, "");
  EXPECT_EQ(run.name, "");
  EXPECT_TRUE(run.env.empty());
  EXPECT_TRUE(run.read.empty());
  EXPECT_TRUE(run.write.empty());
  EXPECT_FALSE(run.observe);
  EXPECT_EQ(run.tty, TtyMode::kAuto);
  EXPECT_EQ(run.report, "");
  EXPECT_EQ(run.time_limit.count(), 0);
  EXPECT_THAT(run.argv, ElementsAre("make"));
}

TEST(ToRunOptionsTest, CarriesEveryOption) {
  const RunOptions run =
      Options({"-p",     "p",   "-w",        "w",  "--name", "n",   "--read",   "r1",
               "--read", "r2",  "--write",   "w1", "--tty",  "raw", "--report", "f",
               "--time", "90s", "--observe", "--", "a",      "b"});
  EXPECT_EQ(run.profile, "p");
  EXPECT_EQ(run.workspace, "w");
  EXPECT_EQ(run.name, "n");
  EXPECT_THAT(run.read, ElementsAre("r1", "r2"));
  EXPECT_THAT(run.write, ElementsAre("w1"));
  EXPECT_EQ(run.tty, TtyMode::kRaw);
  EXPECT_EQ(run.report, "f");
  EXPECT_EQ(run.time_limit, std::chrono::seconds(90));
  EXPECT_TRUE(run.observe);
  EXPECT_THAT(run.argv, ElementsAre("a", "b"));
}

TEST(ToRunOptionsTest, TellsAnEmptyVariableFromOneThatIsPassedOn) {
  const RunOptions run = Options({"-e", "PASSED", "-e", "EMPTY=", "-e", "SET=a=b", "env"});
  EXPECT_THAT(run.env, ElementsAre(Pair("PASSED", std::nullopt),
                                   Pair("EMPTY", std::optional<std::string>("")),
                                   Pair("SET", std::optional<std::string>("a=b"))));
}

}  // namespace
}  // namespace cellrun::launcher
