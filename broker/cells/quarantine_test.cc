// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/quarantine.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "broker/cells/protection.h"

namespace cellrun::cells {
namespace {

namespace fs = std::filesystem;

class QuarantineTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/cellrun-quarantine-XXXXXX";
    ASSERT_NE(mkdtemp(&path[0]), nullptr);
    workspace_ = &path[0];
    Result<std::unique_ptr<InotifyHub>> hub = InotifyHub::Make(loop_);
    ASSERT_TRUE(hub.ok()) << hub.error().ToString();
    hub_ = std::move(*hub);
  }
  void TearDown() override {
    quarantine_.reset();
    fs::remove_all(workspace_);
  }

  void Protect(std::initializer_list<const char*> names) {
    policy::Profile profile;
    for (const char* name : names) {
      policy::Placed<std::string> entry;
      entry.value = workspace_ + "/" + name;
      profile.filesystem.protect.push_back(entry);
    }
    Result<Protection> protection = FindProtection({&profile}, workspace_);
    ASSERT_TRUE(protection.ok()) << protection.error().ToString();
    Result<std::unique_ptr<Quarantine>> started = Quarantine::Start(
        *hub_, workspace_, std::make_shared<const Protection>(std::move(*protection)),
        [this](const Quarantine::Event& event) {
          events_.push_back(event);
          if (events_.size() >= wanted_) loop_.Stop();
        },
        [this] { flooded_ = true; });
    ASSERT_TRUE(started.ok()) << started.error().ToString();
    quarantine_ = std::move(*started);
  }
  // Runs the loop until so many events came, ten seconds at the most.
  void Await(std::size_t events) {
    wanted_ = events;
    if (events_.size() >= wanted_) return;
    const auto deadline = loop_.After(std::chrono::seconds(10), [this] { loop_.Stop(); });
    loop_.Run();
    ASSERT_GE(events_.size(), events);
  }
  void Write(const std::string& name, const std::string& text) {
    fs::create_directories(fs::path(workspace_ + "/" + name).parent_path());
    std::ofstream(workspace_ + "/" + name) << text;
  }
  [[nodiscard]] bool Exists(const std::string& name) const {
    return fs::exists(fs::symlink_status(workspace_ + "/" + name));
  }

  std::string workspace_;
  loop::Loop loop_;
  std::unique_ptr<InotifyHub> hub_;
  std::unique_ptr<Quarantine> quarantine_;
  std::vector<Quarantine::Event> events_;
  std::size_t wanted_ = SIZE_MAX;
  bool flooded_ = false;
};

TEST_F(QuarantineTest, SetsANewProtectedFileAside) {
  Protect({".envrc"});
  Write(".envrc", "evil");
  Await(1);
  EXPECT_FALSE(Exists(".envrc"));
  EXPECT_TRUE(Exists(".envrc.cellrun-quarantined"));
  EXPECT_EQ(events_[0].moved_to, ".envrc.cellrun-quarantined");
}

TEST_F(QuarantineTest, SeesNamesBelowDirectoriesThatAppearLater) {
  Protect({".vscode/tasks.json"});
  Write(".vscode/tasks.json", "{}");
  Await(1);
  EXPECT_FALSE(Exists(".vscode/tasks.json"));
  EXPECT_TRUE(Exists(".vscode/tasks.json.cellrun-quarantined"));
}

TEST_F(QuarantineTest, NeverOverwritesWhatWasSetAsideBefore) {
  Protect({".envrc"});
  Write(".envrc", "one");
  Await(1);
  Write(".envrc", "two");
  Await(2);
  EXPECT_TRUE(Exists(".envrc.cellrun-quarantined"));
  EXPECT_TRUE(Exists(".envrc.cellrun-quarantined-2"));
}

TEST_F(QuarantineTest, ALinkInTheWayIsSetAsideItself) {
  Protect({".git/hooks"});
  Write("elsewhere/hooks/pre-commit", "evil");
  fs::create_symlink("elsewhere", workspace_ + "/.git");
  Await(1);
  EXPECT_FALSE(Exists(".git"));
  EXPECT_TRUE(Exists(".git.cellrun-quarantined"));
  EXPECT_TRUE(Exists("elsewhere/hooks/pre-commit"));  // never through the link
}

TEST_F(QuarantineTest, ARepositoryThatTheCellMakesKeepsWhatRunsNothing) {
  Protect({".git/config", ".git/hooks"});
  Write(".git/config", "[core]\n\tbare = false\n");
  Write(".git/hooks/pre-commit.sample", "#!/bin/sh\n");
  quarantine_->FinalSweep();
  EXPECT_TRUE(events_.empty());
  EXPECT_TRUE(Exists(".git/config"));

  Write(".git/hooks/pre-commit", "#!/bin/sh\nevil\n");
  quarantine_->FinalSweep();
  EXPECT_FALSE(Exists(".git/hooks/pre-commit"));
  EXPECT_TRUE(Exists(".git/hooks/pre-commit.sample"));

  Write(".git/config", "[core]\n\tfsmonitor = ./evil\n");
  quarantine_->FinalSweep();
  EXPECT_FALSE(Exists(".git/config"));
}

TEST_F(QuarantineTest, TheSweepTellsWhenAnExistingNameIsNotWhatItWas) {
  Write(".envrc", "mine");
  Protect({".envrc"});
  quarantine_->FinalSweep();
  EXPECT_TRUE(events_.empty());
  fs::remove(workspace_ + "/.envrc");
  Write(".envrc", "other");
  quarantine_->FinalSweep();
  ASSERT_EQ(events_.size(), 1U);
  EXPECT_TRUE(events_[0].changed);
  EXPECT_TRUE(Exists(".envrc"));
}

TEST_F(QuarantineTest, ALinkThatWasThereBeforeStays) {
  Write("real/hooks/x.sample", "");
  fs::create_symlink("real", workspace_ + "/.git");
  Protect({".git/hooks"});
  quarantine_->FinalSweep();
  EXPECT_TRUE(Exists(".git"));
  EXPECT_TRUE(events_.empty());
}

TEST_F(QuarantineTest, AFifoInPlaceOfAConfigurationDoesNotBlock) {
  Protect({".git/config"});
  fs::create_directory(workspace_ + "/.git");
  ASSERT_EQ(mkfifo((workspace_ + "/.git/config").c_str(), 0600), 0);
  quarantine_->FinalSweep();
  EXPECT_FALSE(Exists(".git/config"));
}

TEST_F(QuarantineTest, AFloodIsReportedOnce) {
  Protect({".envrc"});
  for (int i = 0; i < Quarantine::kMaxEvents; ++i) {
    Write(".envrc", "again");
    quarantine_->FinalSweep();
  }
  // A hundred are set aside; then the name stays and each look reports it.
  EXPECT_TRUE(flooded_);
}

}  // namespace
}  // namespace cellrun::cells
