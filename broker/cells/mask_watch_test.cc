// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/mask_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace cellrun::cells {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;

class MaskWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/cellrun-mask-watch-XXXXXX";
    ASSERT_NE(mkdtemp(&path[0]), nullptr);
    base_ = &path[0];
    fs::create_directories(base_ + "/.git/hooks");
    Write(".git/config", "first\n");
    Write(".env", "SECRET\n");
    Result<std::unique_ptr<InotifyHub>> hub = InotifyHub::Make(loop_);
    ASSERT_TRUE(hub.ok()) << hub.error().ToString();
    hub_ = std::move(*hub);
    wire::MountStep& bind = plan_.mounts.emplace_back();
    bind.kind = wire::MountKind::kBind;
    bind.from = base_;
    bind.to = "/inside";
  }
  void TearDown() override {
    watch_.reset();
    fs::remove_all(base_);
  }

  static void Guard(wire::CellPlan& plan, wire::MountKind kind, const std::string& name,
                    bool read_only = false) {
    wire::MountStep& step = plan.mounts.emplace_back();
    step.kind = kind;
    step.to = "/inside/" + name;
    step.read_only = read_only;
  }
  void Start() {
    watch_ = std::make_unique<MaskWatch>(
        *hub_,
        MaskWatch::Callbacks{.on_replaced =
                                 [this](const std::vector<Remount>& remounts) {
                                   for (const Remount& remount : remounts)
                                     replaced_.push_back(remount.path);
                                   last_ = remounts;
                                   loop_.Stop();
                                 },
                             .on_gone =
                                 [this](const std::string& path) {
                                   gone_.push_back(path);
                                   loop_.Stop();
                                 },
                             .on_failure = [](const Error& error) { FAIL() << error.ToString(); }});
    const Result<void> watched = watch_->Watch(plan_);
    ASSERT_TRUE(watched.ok()) << watched.error().ToString();
  }
  void StartWithRepository() {
    Guard(plan_, wire::MountKind::kPin, ".git");
    Guard(plan_, wire::MountKind::kPin, ".git/config", true);
    Guard(plan_, wire::MountKind::kPin, ".git/hooks", true);
    Guard(plan_, wire::MountKind::kMask, ".env");
    Start();
  }
  // Until something was said, ten seconds at the most.
  void AwaitWord() {
    bool late = false;
    const auto deadline = loop_.After(std::chrono::seconds(10), [&] {
      late = true;
      loop_.Stop();
    });
    const std::size_t said = replaced_.size() + gone_.size();
    while (!late && replaced_.size() + gone_.size() == said) loop_.Run();
    EXPECT_FALSE(late);
  }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(base_ + "/" + name) << text;
  }
  void Replace(const std::string& name, const std::string& text) const {
    Write(name + ".new", text);
    fs::rename(base_ + "/" + name + ".new", base_ + "/" + name);
  }

  std::string base_;
  wire::CellPlan plan_;
  loop::Loop loop_;
  std::unique_ptr<InotifyHub> hub_;
  std::unique_ptr<MaskWatch> watch_;
  std::vector<std::string> replaced_, gone_;
  std::vector<Remount> last_;
};

TEST_F(MaskWatchTest, SaysWhatWasReplacedAndWhatLiesThereNow) {
  StartWithRepository();
  Replace(".git/config", "second\n");
  AwaitWord();
  EXPECT_THAT(replaced_, ElementsAre("/inside/.git/config"));
  struct stat now {};
  ASSERT_EQ(stat((base_ + "/.git/config").c_str(), &now), 0);
  ASSERT_EQ(last_.size(), 1U);
  EXPECT_EQ(last_[0].kind, Remount::Kind::kProtect);
  EXPECT_EQ(last_[0].inode, now.st_ino);
  EXPECT_FALSE(watch_->Touched(last_[0]));
  Write(".git/config", "third\n");
  EXPECT_TRUE(watch_->Touched(last_[0]));
}

TEST_F(MaskWatchTest, AWrittenFileIsStillTheSame) {
  StartWithRepository();
  Write(".git/config", "written in place\n");
  Write(".env", "MORE\n");
  watch_->LookAtAll();
  EXPECT_THAT(replaced_, IsEmpty());
  EXPECT_THAT(gone_, IsEmpty());
}

TEST_F(MaskWatchTest, AReplacedDirectoryTakesEverythingBelowItAlong) {
  StartWithRepository();
  fs::create_directories(base_ + "/other/hooks");
  std::ofstream(base_ + "/other/config") << "other\n";
  fs::rename(base_ + "/.git", base_ + "/old");
  fs::rename(base_ + "/other", base_ + "/.git");
  AwaitWord();
  EXPECT_THAT(replaced_, ElementsAre("/inside/.git/config", "/inside/.git/hooks", "/inside/.git"))
      << "the directory around them last";
}

TEST_F(MaskWatchTest, OfARemovedProtectedNameItSaysThatItIsGone) {
  StartWithRepository();
  fs::remove(base_ + "/.git/config");
  AwaitWord();
  EXPECT_THAT(gone_, ElementsAre("/inside/.git/config"));
  Write(".git/config", "whose?\n");
  watch_->LookAtAll();
  EXPECT_THAT(replaced_, IsEmpty()) << "what appears there is not trusted";
}

TEST_F(MaskWatchTest, AHiddenNameIsHiddenAgainWhenItReturns) {
  StartWithRepository();
  fs::remove(base_ + "/.env");
  watch_->LookAtAll();
  Write(".env", "SECRET\n");
  AwaitWord();
  EXPECT_THAT(replaced_, ElementsAre("/inside/.env"));
}

TEST_F(MaskWatchTest, AnotherCellsGuardsAreMountedAtOnce) {
  Guard(plan_, wire::MountKind::kPin, ".git");
  Guard(plan_, wire::MountKind::kPin, ".git/config", true);
  Start();
  wire::CellPlan other = plan_;
  Guard(other, wire::MountKind::kMask, ".env");
  Guard(other, wire::MountKind::kPin, ".git/hooks", true);
  Guard(other, wire::MountKind::kPin, "absent", true);
  ASSERT_TRUE(watch_->Adopt(other, "/inside").ok());
  EXPECT_THAT(replaced_, ElementsAre("/inside/.env", "/inside/.git/hooks"));
  Replace(".env", "NEW\n");
  AwaitWord();
  EXPECT_THAT(last_, testing::SizeIs(1)) << "and watched from then on";
}

}  // namespace
}  // namespace cellrun::cells
