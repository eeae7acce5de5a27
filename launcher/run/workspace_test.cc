// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/workspace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/required.h"

namespace cellrun::launcher {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class WorkspaceTest : public testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/cellrun-workspace-test-XXXXXX";
    ASSERT_NE(mkdtemp(&directory[0]), nullptr);
    scratch_ = &directory[0];
    for (const char* name : {"home/project/src/deep", "home/other", "run/cell"})
      fs::create_directories(scratch_ / name);
    context_.uid = geteuid();
    context_.homes = {scratch_ / "home", "/root", "/home/somebody"};
    context_.forbidden = {scratch_ / "run"};
    context_.current_directory = scratch_ / "home/project/src/deep";
  }
  void TearDown() override { fs::remove_all(scratch_); }
  std::string Choose(const std::string& asked) {
    const auto chosen = ChooseWorkspace(asked, context_);
    const Workspace* workspace = std::get_if<Workspace>(&chosen);
    return workspace != nullptr ? workspace->path : "";
  }
  std::string Cause(const std::string& asked) {
    const auto chosen = ChooseWorkspace(asked, context_);
    const ErrorForm* refused = std::get_if<ErrorForm>(&chosen);
    return refused != nullptr ? refused->cause : "";
  }
  fs::path scratch_;
  WorkspaceContext context_;
};

TEST_F(WorkspaceTest, IsTheEnclosingGitProject) {
  EXPECT_EQ(Choose(""), scratch_ / "home/project/src/deep") << "no project: the current directory";
  fs::create_directory(scratch_ / "home/project/.git");
  EXPECT_EQ(Choose(""), scratch_ / "home/project");
  fs::remove(scratch_ / "home/project/.git");
  std::ofstream(scratch_ / "home/project/src/.git") << "gitdir: elsewhere\n";
  EXPECT_EQ(Choose(""), scratch_ / "home/project/src") << "a worktree's pointer file";
  const auto chosen = ChooseWorkspace("", context_);
  EXPECT_EQ(std::get<Workspace>(chosen).working_directory, context_.current_directory);
}

TEST_F(WorkspaceTest, IsNeverAHomeThatIsARepository) {
  fs::create_directory(scratch_ / "home/.git");
  EXPECT_EQ(Choose(""), context_.current_directory);
  context_.current_directory = scratch_ / "home";
  EXPECT_THAT(Cause(""), HasSubstr("home directory"));
}

TEST_F(WorkspaceTest, IgnoresAProjectThatSomebodyElsePutAbove) {
  REQUIRE_OR_SKIP(geteuid() == 0, "root, to give a directory away");
  fs::create_directory(scratch_ / "home/project/.git");
  ASSERT_EQ(chown((scratch_ / "home/project").c_str(), 64123, 64123), 0);
  EXPECT_EQ(Choose(""), context_.current_directory);
}

TEST_F(WorkspaceTest, RefusesWhatIsNotAProject) {
  EXPECT_THAT(Cause("/"), HasSubstr("whole machine"));
  EXPECT_THAT(Cause(scratch_ / "home"), HasSubstr("is a home directory"));
  EXPECT_THAT(Cause(scratch_ / "home/."), HasSubstr("is a home directory"));
  EXPECT_THAT(Cause(scratch_), HasSubstr("lies in it"));
  EXPECT_THAT(Cause(scratch_ / "run"), HasSubstr("cellrun's own"));
  EXPECT_THAT(Cause(scratch_ / "run/cell"), HasSubstr("cellrun's own"));
  EXPECT_THAT(Cause(scratch_ / "missing"), HasSubstr("No such file"));
  std::ofstream(scratch_ / "file") << "x";
  EXPECT_THAT(Cause(scratch_ / "file"), HasSubstr("not a directory"));
  for (const char* system :
       {"/etc", "/usr", "/proc", "/proc/self", "/sys/kernel", "/dev", "/var", "/tmp"}) {
    EXPECT_NE(Cause(system), "") << system;
  }
  EXPECT_EQ(Choose(scratch_ / "home/other"), scratch_ / "home/other");
}

TEST_F(WorkspaceTest, JudgesWhereALinkLeads) {
  fs::create_symlink("/", scratch_ / "home/other/root");
  fs::create_symlink(scratch_ / "home", scratch_ / "home/other/home");
  fs::create_symlink(scratch_ / "home/project", scratch_ / "home/other/project");
  EXPECT_THAT(Cause(scratch_ / "home/other/root"), HasSubstr("whole machine"));
  EXPECT_THAT(Cause(scratch_ / "home/other/home"), HasSubstr("home directory"));
  EXPECT_EQ(Choose(scratch_ / "home/other/project"), scratch_ / "home/project");
}

TEST_F(WorkspaceTest, OfAnotherUserIsOnlyForRoot) {
  REQUIRE_OR_SKIP(geteuid() == 0, "root, to give a directory away");
  ASSERT_EQ(chown((scratch_ / "home/other").c_str(), 64123, 64123), 0);
  EXPECT_EQ(Choose(scratch_ / "home/other"), scratch_ / "home/other");
  context_.uid = 64124;
  EXPECT_THAT(Cause(scratch_ / "home/other"), HasSubstr("another user (uid 64123)"));
}

TEST_F(WorkspaceTest, GrantsAreResolvedAndNeverTheRoot) {
  fs::create_symlink(scratch_ / "home/project", scratch_ / "link");
  EXPECT_EQ(std::get<std::string>(ResolveGrant("--read", scratch_ / "link")),
            scratch_ / "home/project");
  EXPECT_THAT(std::get<ErrorForm>(ResolveGrant("--read", "/")).what, HasSubstr("whole machine"));
  EXPECT_THAT(std::get<ErrorForm>(ResolveGrant("--read", scratch_ / "no")).what,
              HasSubstr("No such file"));
}

}  // namespace
}  // namespace cellrun::launcher
