// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/loader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cellrun::exec {
namespace {

using testing::ElementsAre;

LoaderCommand Parse(const std::vector<std::string>& argv) {
  return ParseLoaderCommand(argv);
}

TEST(LoaderTest, TheFirstOperandIsTheProgram) {
  const LoaderCommand command = Parse({"ld.so", "/bin/ls", "--list", "x"});
  EXPECT_EQ(command.kind, LoaderCommand::Kind::kProgram);
  EXPECT_EQ(command.program, 1U);
  EXPECT_THAT(command.argv, ElementsAre("/bin/ls", "--list", "x"));
}
TEST(LoaderTest, OptionsTakeTheirValues) {
  const LoaderCommand command = Parse(
      {"ld.so", "--library-path", "/bin/false", "--inhibit-cache", "--argv0=name", "./tool", "x"});
  EXPECT_EQ(command.kind, LoaderCommand::Kind::kProgram);
  EXPECT_EQ(command.program, 5U);
  EXPECT_THAT(command.argv, ElementsAre("name", "x"));
}
TEST(LoaderTest, WithoutAProgramNothingRuns) {
  for (const std::vector<std::string>& argv : {std::vector<std::string>{"ld.so"},
                                               {"ld.so", "--help"},
                                               {"ld.so", "--version", "/bin/ls"},
                                               {"ld.so", "--list"}}) {
    EXPECT_EQ(Parse(argv).kind, LoaderCommand::Kind::kNothing);
  }
}
TEST(LoaderTest, WhatIsNotUnderstoodIsRefused) {
  for (const std::vector<std::string>& argv :
       {std::vector<std::string>{"ld.so", "--preload", "/x.so", "/bin/ls"},
        {"ld.so", "--preload=/x.so", "/bin/ls"},
        {"ld.so", "--audit", "/x.so", "/bin/ls"},
        {"ld.so", "--new-option", "/bin/ls"},
        {"ld.so", "--", "/bin/ls"},
        {"ld.so", "--list=x", "/bin/ls"},
        {"ld.so", "--library-path"},
        {"ld.so", "ls"},
        {"ld.so", ""}}) {
    EXPECT_EQ(Parse(argv).kind, LoaderCommand::Kind::kRefused) << argv[1];
  }
}

}  // namespace
}  // namespace cellrun::exec
