// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/profile_lookup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "lib/policy/load.h"

namespace cellrun::launcher {
namespace {

namespace fs = std::filesystem;
using policy::Layer;
using policy::Source;
using testing::HasSubstr;

class ProfileLookupTest : public testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/cellrun-lookup-test-XXXXXX";
    ASSERT_NE(mkdtemp(&directory[0]), nullptr);
    scratch_ = &directory[0];
    fs::create_directories(scratch_ / "config/profiles/agents");
    fs::create_directories(scratch_ / "work");
    ASSERT_EQ(setenv("CELLRUN_CONFIG_DIR", (scratch_ / "config").c_str(), 1), 0);
    Write("config/profiles/test-profile.yaml", "of the user");
    Write("config/profiles/agents/test-agent.yaml", "an agent");
  }
  void TearDown() override { fs::remove_all(scratch_); }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(scratch_ / name) << text;
  }
  static std::string Text(const std::string& name) {
    const auto found = FindProfile(name, Layer::kProfile);
    const Source* source = std::get_if<Source>(&found);
    return source != nullptr ? source->text : "error: " + std::get<ErrorForm>(found).what;
  }
  fs::path scratch_;
};

TEST_F(ProfileLookupTest, TellsNamesFromFiles) {
  for (const char* file : {"x.yaml", "./x", "/etc/x", "a/b/c", "../x"})
    EXPECT_TRUE(IsProfileFile(file)) << file;
  for (const char* name : {"strict", "agents/codex"}) EXPECT_FALSE(IsProfileFile(name)) << name;
}

TEST_F(ProfileLookupTest, FindsNamesInTheUsersConfiguration) {
  EXPECT_EQ(Text("test-profile"), "of the user");
  EXPECT_EQ(Text("agents/test-agent"), "an agent");
  const auto found = FindProfile("test-profile", Layer::kProfile);
  EXPECT_EQ(std::get<Source>(found).name, "test-profile");
  EXPECT_EQ(std::get<Source>(found).origin, scratch_ / "config/profiles/test-profile.yaml");
  bool listed = false;
  for (const KnownProfile& profile : ListProfiles()) listed |= profile.name == "agents/test-agent";
  EXPECT_TRUE(listed);
}

TEST_F(ProfileLookupTest, NamesTheNearestOnes) {
  const auto found = FindProfile("tst-profile", Layer::kProfile);
  const ErrorForm& error = std::get<ErrorForm>(found);
  EXPECT_EQ(error.what, "there is no profile 'tst-profile'");
  EXPECT_THAT(error.suggest, HasSubstr("--profile test-profile"));
  EXPECT_THAT(error.cause, HasSubstr("agents/test-agent"));
}

TEST_F(ProfileLookupTest, AnUnreadableProfileDoesNotGiveWayToAnother) {
  fs::create_directory(scratch_ / "config/profiles/strict.yaml");
  EXPECT_THAT(Text("strict"), HasSubstr("cannot read profile"));
}

TEST_F(ProfileLookupTest, ReadsFilesUpToOneByteOverTheLimit) {
  Write("big.yaml", std::string(policy::kMaxProfileBytes * 2, '#'));
  EXPECT_EQ(Text(scratch_ / "big.yaml").size(), policy::kMaxProfileBytes + 1);
  EXPECT_THAT(Text(scratch_), HasSubstr("cannot read profile"));
  EXPECT_THAT(Text(scratch_ / "none.yaml"), HasSubstr("cannot read profile"));
  ASSERT_EQ(mkfifo((scratch_ / "fifo.yaml").c_str(), 0600), 0);
  EXPECT_THAT(Text(scratch_ / "fifo.yaml"), HasSubstr("cannot read profile"))
      << "and does not wait for a writer";
}

TEST_F(ProfileLookupTest, ExtendedFilesLieBesideTheOneThatExtends) {
  Write("work/base.yaml", "beside");
  const auto found =
      FindExtended({"./base.yaml", "test-profile", "nobody"}, scratch_ / "work/mine.yaml");
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0].text, "beside");
  EXPECT_EQ(found[0].name, "./base.yaml");
  EXPECT_EQ(found[1].layer, Layer::kInherited);
}

TEST_F(ProfileLookupTest, GuessesOnlyPlainExtends) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(GuessExtends("cellrun: 1\nextends: [base, 'agents/x']  # why\nname: x\n"),
            (Names{"base", "agents/x"}));
  EXPECT_EQ(GuessExtends("extends: []"), Names());
  EXPECT_EQ(GuessExtends("extends:\n  - base\n"), Names());
  EXPECT_EQ(GuessExtends("description: |\n  extends: [base]\n"), Names());
  EXPECT_EQ(GuessExtends("extends: [base"), Names());
  EXPECT_EQ(GuessExtends(""), Names());
}

TEST_F(ProfileLookupTest, TheOverlayIsNeverALink) {
  const auto none = FindWorkspaceOverlay(scratch_ / "work");
  EXPECT_TRUE(std::get<std::vector<Source>>(none).empty());
  Write("work/.cellrun.yaml", "narrow");
  const auto one = FindWorkspaceOverlay(scratch_ / "work");
  ASSERT_EQ(std::get<std::vector<Source>>(one).size(), 1U);
  EXPECT_EQ(std::get<std::vector<Source>>(one)[0].layer, Layer::kWorkspace);
  fs::remove(scratch_ / "work/.cellrun.yaml");
  fs::create_symlink("/etc/passwd", scratch_ / "work/.cellrun.yaml");
  const auto link = FindWorkspaceOverlay(scratch_ / "work");
  EXPECT_THAT(std::get<ErrorForm>(link).cause, HasSubstr("symbolic link"));
}

}  // namespace
}  // namespace cellrun::launcher
