// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/command_environment.h"

#include <gmock/gmock.h>

namespace cellrun::exec {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(CommandEnvironmentTest, WhatRunsCodeOfTheCallersChoiceIsDropped) {
  EXPECT_THAT(CommandEnvironment({}, {"LD_PRELOAD=/tmp/x.so", "BASH_ENV=/tmp/x", "ENV=/tmp/x",
                                      "BASH_FUNC_ls%%=() { x; }", "PYTHONSTARTUP=/tmp/x",
                                      "GIT_SSH_COMMAND=/tmp/x", "NODE_OPTIONS=--require=/tmp/x",
                                      "PERL5OPT=-Mx", "SHELLOPTS=xtrace", "GIT_CONFIG_COUNT=1"}),
              IsEmpty());
}

TEST(CommandEnvironmentTest, TheRestStaysAsItIs) {
  EXPECT_THAT(CommandEnvironment({}, {"B=2", "A=1", "A=2", "PATH=/usr/bin", "odd"}),
              ElementsAre("B=2", "A=1", "A=2", "PATH=/usr/bin", "odd"));
}

TEST(CommandEnvironmentTest, TheProfileDropsMore) {
  policy::Profile profile;
  profile.environment_drop.emplace_back().value = "AWS_*";
  EXPECT_THAT(CommandEnvironment(profile, {"AWS_KEY=1", "AW=1"}), ElementsAre("AW=1"));
}

}  // namespace
}  // namespace cellrun::exec
