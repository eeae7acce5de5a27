// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/runtime_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tests/support/required.h"

namespace cellrun::wire {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class RuntimeDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/cellrun-runtime-test-XXXXXX";
    ASSERT_NE(mkdtemp(&directory[0]), nullptr);
    scratch_ = &directory[0];
    Set("CELLRUN_RUNTIME_DIR", scratch_ / "run");
  }
  void TearDown() override { fs::remove_all(scratch_); }
  static void Set(const char* name, const std::string& value) {
    ASSERT_EQ(setenv(name, value.c_str(), 1), 0);
  }
  static void ExpectRefused(const std::string& why) {
    const Result<std::string> directory = RuntimeDirectory();
    ASSERT_FALSE(directory.ok()) << *directory;
    EXPECT_EQ(directory.error().code(), EPERM);
    EXPECT_THAT(directory.error().context(), HasSubstr(why));
  }
  fs::path scratch_;
};

TEST_F(RuntimeDirectoryTest, IsMadePrivateAndFoundAgain) {
  const mode_t before = umask(0);
  const Result<std::string> made = RuntimeDirectory();
  umask(before);
  ASSERT_TRUE(made.ok()) << made.error().ToString();
  EXPECT_EQ(*made, scratch_ / "run");
  struct stat facts {};
  ASSERT_EQ(lstat(made->c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777, 0700U);
  EXPECT_TRUE(RuntimeDirectory().ok());
}

TEST_F(RuntimeDirectoryTest, RefusesALinkEvenToAPrivateDirectory) {
  fs::create_directory(scratch_ / "elsewhere");
  fs::permissions(scratch_ / "elsewhere", fs::perms(0700));
  fs::create_symlink(scratch_ / "elsewhere", scratch_ / "run");
  ExpectRefused("is a symbolic link");
}

TEST_F(RuntimeDirectoryTest, RefusesAWrongModeAndAFile) {
  fs::create_directory(scratch_ / "run");
  fs::permissions(scratch_ / "run", fs::perms(0750));
  ExpectRefused("has mode 0750, not 0700");
  fs::remove(scratch_ / "run");
  std::ofstream(scratch_ / "run") << "x";
  ExpectRefused("is not a directory");
}

TEST_F(RuntimeDirectoryTest, RefusesASquattedOne) {
  REQUIRE_OR_SKIP(geteuid() == 0, "root, to make another user's directory");
  fs::create_directory(scratch_ / "run");
  fs::permissions(scratch_ / "run", fs::perms(0700));
  ASSERT_EQ(chown((scratch_ / "run").c_str(), 64123, 64123), 0);
  ExpectRefused("belongs to uid 64123");
}

TEST_F(RuntimeDirectoryTest, RefusesAParentInWhichOthersCanReplaceIt) {
  fs::permissions(scratch_, fs::perms(0777));
  ExpectRefused("can be written by others and is not sticky");
  fs::permissions(scratch_, fs::perms(01777));
  EXPECT_TRUE(RuntimeDirectory().ok());
}

TEST_F(RuntimeDirectoryTest, StateDirectoryIsMadeWithItsParents) {
  Set("CELLRUN_STATE_DIR", scratch_ / "a" / "b");
  const Result<std::string> state = StateDirectory();
  ASSERT_TRUE(state.ok()) << state.error().ToString();
  EXPECT_TRUE(fs::is_directory(*state));
  fs::permissions(*state, fs::perms(0777));
  EXPECT_FALSE(StateDirectory().ok());
}

TEST_F(RuntimeDirectoryTest, ConfigDirectoryFollowsTheVariables) {
  Set("HOME", "/home/someone");
  unsetenv("CELLRUN_CONFIG_DIR");
  unsetenv("XDG_CONFIG_HOME");
  EXPECT_EQ(ConfigDirectory().value(), "/home/someone/.config/cellrun");
  Set("XDG_CONFIG_HOME", "relative: ignored");
  EXPECT_EQ(ConfigDirectory().value(), "/home/someone/.config/cellrun");
  Set("XDG_CONFIG_HOME", "/x/");
  EXPECT_EQ(ConfigDirectory().value(), "/x/cellrun");
  Set("CELLRUN_CONFIG_DIR", "/y");
  EXPECT_EQ(ConfigDirectory().value(), "/y");
}

TEST_F(RuntimeDirectoryTest, HomeComesFromPasswdWithoutTheVariable) {
  unsetenv("HOME");
  const Result<std::string> home = HomeDirectory();
  if (geteuid() == 0) {
    ASSERT_TRUE(home.ok());
    EXPECT_EQ(*home, "/root");
  }
}

}  // namespace
}  // namespace cellrun::wire
