// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/git_config.h"

#include <gtest/gtest.h>

namespace cellrun::cells {
namespace {

TEST(GitConfigTest, WhatInitAndCloneWriteRunsNothing) {
  EXPECT_TRUE(GitConfigRunsNothing(
      "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n"
      "\tlogallrefupdates = true\n[remote \"origin\"]\n\turl = /srv/repo\n"
      "\tfetch = +refs/heads/*:refs/remotes/origin/*\n[branch \"main\"]\n\tremote = origin\n"
      "\tmerge = refs/heads/main\n"));
  EXPECT_TRUE(GitConfigRunsNothing(""));
  EXPECT_TRUE(GitConfigRunsNothing("# nothing\n[user]\n name = A\n"));
}

TEST(GitConfigTest, KeysThatRunCommandsAreSeen) {
  for (const char* text : {
           "[core]\n\tfsmonitor = ./evil\n",
           "[core]\n\thooksPath = x\n",
           "[core] fsmonitor = ./evil\n",
           "[CORE]\n\tSSHCommand = x\n",
           "[remote \"o\"]\n\tuploadpack = ./evil\n",
           "[remote \"o\"]\n\turl = ext::sh -c evil\n",
           "[remote \"o\"]\n\turl = \"ext::sh -c evil\"\n",
           "[remote \"o\"]\n\turl = -oProxyCommand=evil\n",
           "[remote \"o\"]\n\tvcs = evil\n",
           "[alias]\n\tst = !evil\n",
           "[include]\n\tpath = evil\n",
           "[includeIf \"gitdir:x\"]\n\tpath = evil\n",
           "[filter \"x\"]\n\tclean = evil\n",
           "[user]\n\tname = a\\\n[core]\n",
           "[diff]\n\texternal = evil\n",
           "[remote.origin]\n\turl = x\n",
           "[user \"a\\\"]\n[core]\nfsmonitor=x\"]\n",
           "fsmonitor = x\n",
       }) {
    EXPECT_FALSE(GitConfigRunsNothing(text)) << text;
  }
}

}  // namespace
}  // namespace cellrun::cells
