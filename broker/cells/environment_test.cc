// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cellrun::cells {
namespace {

using testing::Contains;
using testing::Not;
using testing::StartsWith;

policy::Placed<std::string> Value(const char* text) {
  policy::Placed<std::string> placed;
  placed.value = text;
  return placed;
}

TEST(CellEnvironmentTest, OnlyWhatIsPassedCrosses) {
  policy::Profile profile;
  profile.environment_pass = {Value("LANG"), Value("LC_*")};
  profile.path = {Value("/usr/bin"), Value("/bin")};
  wire::RunRequest request;
  request.home = "/home/u";
  request.environment = {"LANG=de", "LC_ALL=C", "SECRET=x", "LD_PRELOAD=/x.so", "=odd", "NOEQUALS"};
  const std::vector<std::string> environment = CellEnvironment(profile, request, "u", "id");
  EXPECT_THAT(environment, Contains("LANG=de"));
  EXPECT_THAT(environment, Contains("LC_ALL=C"));
  EXPECT_THAT(environment, Not(Contains(StartsWith("SECRET"))));
  EXPECT_THAT(environment, Not(Contains(StartsWith("LD_"))));
  EXPECT_THAT(environment, Contains("PATH=/usr/bin:/bin:/run/cellrun/tools"));
  EXPECT_THAT(environment, Contains("HOME=/home/u"));
  EXPECT_THAT(environment, Contains("USER=u"));
}

TEST(CellEnvironmentTest, TheCommandLineWinsOverTheProfileButNeverOverCellrunsOwn) {
  policy::Profile profile;
  profile.environment_set["CI"] = Value("1");
  profile.environment_set["EDITOR"] = Value("vi");
  wire::RunRequest request;
  request.set_environment = {{"CI", "2"}, {"CELLRUN_CELL", "forged"}};
  const std::vector<std::string> environment = CellEnvironment(profile, request, "u", "id");
  EXPECT_THAT(environment, Contains("CI=2"));
  EXPECT_THAT(environment, Contains("EDITOR=vi"));
  EXPECT_THAT(environment, Contains("CELLRUN_CELL=id"));
}

}  // namespace
}  // namespace cellrun::cells
