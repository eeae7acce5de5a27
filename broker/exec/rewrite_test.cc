// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/rewrite.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cellrun::exec {
namespace {

using testing::ElementsAre;

TEST(RewriteTest, ArgumentsAreRemovedThenAdded) {
  policy::Rewrite rewrite;
  rewrite.args_prepend = {"--no-pager"};
  rewrite.args_append = {"--dry-run"};
  rewrite.args_remove = {"--force*", "git"};
  std::vector<std::string> argv = {"git", "push", "--force", "--forceful", "git"}, env;
  ASSERT_TRUE(ApplyRewrite(rewrite, &argv, &env).ok());
  EXPECT_THAT(argv, ElementsAre("git", "--no-pager", "push", "--dry-run"));
}
TEST(RewriteTest, VariablesAreDroppedThenSet) {
  policy::Rewrite rewrite;
  rewrite.env_drop = {"GIT_*", "LD_PRELOAD"};
  rewrite.env_set = {{"PATH", "/usr/bin"}, {"GIT_PAGER", "cat"}};
  std::vector<std::string> argv = {"x"};
  std::vector<std::string> env = {"A=1", "GIT_DIR=/x", "PATH=/evil", "LD_PRELOAD=y", "GIT_PAGER=z"};
  ASSERT_TRUE(ApplyRewrite(rewrite, &argv, &env).ok());
  EXPECT_THAT(env, ElementsAre("A=1", "PATH=/usr/bin", "GIT_PAGER=cat"));
}

}  // namespace
}  // namespace cellrun::exec
