// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/plan.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

namespace cellrun::cells {
namespace {

namespace fs = std::filesystem;

class PlanTest : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/cellrun-plan-XXXXXX";
    ASSERT_NE(mkdtemp(&path[0]), nullptr);
    base_ = &path[0];
    fs::create_directories(base_ + "/project");
    profile_.filesystem.root.value = "host";
    profile_.filesystem.tmp_bytes.value = 1 << 20;
    request_.workspace = request_.working_directory = base_ + "/project";
    request_.home = "/home/someone";
    request_.argv = {"true"};
    caller_ = {.uid = 1000, .gid = 1000, .user = "someone", .group = "people"};
  }
  void TearDown() override { fs::remove_all(base_); }

  wire::CellPlan Plan() {
    Result<Protection> protection = FindProtection({&profile_}, request_.workspace);
    EXPECT_TRUE(protection.ok());
    Result<wire::CellPlan> plan =
        BuildPlan({.profile = profile_,
                   .request = request_,
                   .caller = caller_,
                   .protection = *protection,
                   .id = "id",
                   .name = "name",
                   .cell_uid = caller_.uid == 0 ? kFirstCellUid : caller_.uid});
    EXPECT_TRUE(plan.ok()) << plan.error().ToString();
    return std::move(*plan);
  }
  static const wire::MountStep* Find(const wire::CellPlan& plan, const std::string& to,
                                     wire::MountKind kind) {
    const auto found = std::find_if(
        plan.mounts.begin(), plan.mounts.end(),
        [&](const wire::MountStep& step) { return step.to == to && step.kind == kind; });
    return found == plan.mounts.end() ? nullptr : &*found;
  }
  static std::size_t IndexOf(const wire::CellPlan& plan, const wire::MountStep* step) {
    return static_cast<std::size_t>(step - plan.mounts.data());
  }
  static policy::Placed<std::string> Path(const std::string& path) {
    policy::Placed<std::string> placed;
    placed.value = path;
    return placed;
  }

  std::string base_;
  policy::Profile profile_;
  wire::RunRequest request_;
  Caller caller_;
};

TEST_F(PlanTest, TheHostsSystemIsReadOnlyAndItsStateIsAbsent) {
  const wire::CellPlan plan = Plan();
  const wire::MountStep* usr = Find(plan, "/usr", wire::MountKind::kBind);
  ASSERT_NE(usr, nullptr);
  EXPECT_TRUE(usr->read_only);
  for (const char* absent : {"/var", "/srv", "/mnt", "/home", "/root", "/sys", "/boot"}) {
    EXPECT_EQ(Find(plan, absent, wire::MountKind::kBind), nullptr) << absent;
  }
  for (const char* private_directory : {"/tmp", "/run", "/var/tmp", "/dev/shm", "/home/someone"}) {
    EXPECT_NE(Find(plan, private_directory, wire::MountKind::kTmpfs), nullptr) << private_directory;
  }
}

TEST_F(PlanTest, AnInnerGrantIsMountedAfterTheOuterOne) {
  fs::create_directories(base_ + "/project/in");
  profile_.filesystem.read = {Path(base_ + "/project/in")};
  const wire::CellPlan plan = Plan();
  const wire::MountStep* outer = Find(plan, base_ + "/project", wire::MountKind::kBind);
  const wire::MountStep* inner = Find(plan, base_ + "/project/in", wire::MountKind::kBind);
  ASSERT_TRUE(outer != nullptr && inner != nullptr);
  EXPECT_FALSE(outer->read_only);
  EXPECT_TRUE(inner->read_only);
  EXPECT_LT(IndexOf(plan, outer), IndexOf(plan, inner));
}

TEST_F(PlanTest, EveryParentOfAGrantThatTheCellCouldRenameIsPinned) {
  fs::create_directories(base_ + "/tools/deep/bin");
  profile_.filesystem.read = {Path(base_ + "/tools/deep/bin")};
  const wire::CellPlan plan = Plan();
  const wire::MountStep* grant = Find(plan, base_ + "/tools/deep/bin", wire::MountKind::kBind);
  ASSERT_NE(grant, nullptr);
  for (const std::string& parent : {base_, base_ + "/tools", base_ + "/tools/deep"}) {
    const wire::MountStep* pin = Find(plan, parent, wire::MountKind::kPin);
    ASSERT_NE(pin, nullptr) << parent;
    EXPECT_FALSE(pin->read_only);
    EXPECT_LT(IndexOf(plan, pin), IndexOf(plan, grant));
    EXPECT_EQ(std::count_if(plan.mounts.begin(), plan.mounts.end(),
                            [&](const wire::MountStep& step) {
                              return step.to == parent && step.kind == wire::MountKind::kPin;
                            }),
              1)
        << parent;
  }
  EXPECT_EQ(Find(plan, "/home", wire::MountKind::kPin), nullptr) << "the root is read-only";
}

TEST_F(PlanTest, EveryParentOfAProtectedNameIsPinned) {
  fs::create_directories(base_ + "/project/.git/hooks");
  profile_.filesystem.protect = {Path(base_ + "/project/.git/hooks"),
                                 Path(base_ + "/project/.envrc")};
  const wire::CellPlan plan = Plan();
  const wire::MountStep* parent = Find(plan, base_ + "/project/.git", wire::MountKind::kPin);
  const wire::MountStep* hooks = Find(plan, base_ + "/project/.git/hooks", wire::MountKind::kPin);
  ASSERT_TRUE(parent != nullptr && hooks != nullptr);
  EXPECT_FALSE(parent->read_only);
  EXPECT_TRUE(hooks->read_only);
  EXPECT_LT(IndexOf(plan, parent), IndexOf(plan, hooks));
  EXPECT_EQ(Find(plan, base_ + "/project/.envrc", wire::MountKind::kPin),
            nullptr);  // nothing is made to deny it
}

// Nothing is hidden, or pinned, where a tree of the cell's own has nothing to hide; whatever a
// grant brings in is.
TEST_F(PlanTest, WhatOnlyTheHostHasNeedsNoMask) {
  fs::create_directories(base_ + "/tools/keys");
  const std::vector<std::string> masked = {base_ + "/tools/keys", base_ + "/tools/later", base_,
                                           "/etc/secret"};
  const std::vector<std::string> absent = {"/home/someone/.ssh", "/home/someone/.config/gh",
                                           "/run/docker.sock", "/srv/keys"};
  for (const auto& paths : {masked, absent}) {
    for (const std::string& path : paths) profile_.filesystem.hide.push_back(Path(path));
  }
  profile_.filesystem.protect = {Path("/home/someone/.bashrc"), Path(base_ + "/tools/rc")};
  profile_.filesystem.read = {Path(base_ + "/tools")};
  const wire::CellPlan plan = Plan();
  for (const std::string& path : masked)
    EXPECT_NE(Find(plan, path, wire::MountKind::kMask), nullptr) << path;
  for (const std::string& path : absent)
    EXPECT_EQ(Find(plan, path, wire::MountKind::kMask), nullptr) << path;
  EXPECT_EQ(Find(plan, "/home/someone/.bashrc", wire::MountKind::kPin), nullptr);
  EXPECT_EQ(Find(plan, "/home/someone/.config", wire::MountKind::kPin), nullptr);
  EXPECT_NE(Find(plan, base_ + "/tools/rc", wire::MountKind::kPin), nullptr);
}

TEST_F(PlanTest, ACellOfRootGetsAnIdOfItsOwnAndMappedGrants) {
  caller_ = {.uid = 0, .gid = 0, .user = "root", .group = "root"};
  const wire::CellPlan plan = Plan();
  EXPECT_EQ(plan.host_uid, kFirstCellUid);
  EXPECT_EQ(plan.inside_uid, kRootCellInsideUid);
  EXPECT_TRUE(Find(plan, base_ + "/project", wire::MountKind::kBind)->id_map);
  EXPECT_FALSE(Find(plan, "/usr", wire::MountKind::kBind)->id_map);
}

TEST_F(PlanTest, NoWriteIsGrantedBelowProcByLandlock) {
  for (const wire::LandlockRule& rule : Plan().landlock) {
    EXPECT_FALSE(rule.write && (rule.path.starts_with("/proc") || rule.path == "/")) << rule.path;
  }
}

// The kernel mounts procfs in a nested namespace only where a whole one is in sight, and read-only
// where that is the cell's; Landlock would forbid every mount.
TEST_F(PlanTest, UsernsMakesProcWholeAndReadOnlyAndLeavesLandlockOut) {
  EXPECT_EQ(Plan().namespaces, 0U);
  EXPECT_FALSE(Find(Plan(), "/proc", wire::MountKind::kProc)->read_only);
  policy::SyscallRule rule;
  rule.names = {"userns"};
  rule.then = policy::Action::kAllow;
  profile_.syscall_rules = {rule};
  const wire::CellPlan plan = Plan();
  EXPECT_GT(plan.namespaces, 0U);
  EXPECT_LE(plan.namespaces, 1000U);
  EXPECT_TRUE(plan.landlock.empty());
  EXPECT_EQ(plan.warnings, std::vector<std::string>{"landlock is off: the profile allows userns"});
  EXPECT_EQ(std::count(plan.layers.begin(), plan.layers.end(), "landlock"), 0);
  EXPECT_TRUE(Find(plan, "/proc", wire::MountKind::kProc)->read_only);
  for (const wire::MountStep& step : plan.mounts) {
    EXPECT_FALSE(step.to.starts_with("/proc/")) << step.to;
  }
}

TEST_F(PlanTest, ALimitAboveTheHostsIsCutAndSaid) {
  policy::Placed<std::uint64_t> files;
  files.value = 1ULL << 40;
  profile_.limits.files = files;
  const wire::CellPlan plan = Plan();
  const auto limit = std::find_if(
      plan.limits.begin(), plan.limits.end(),
      [](const wire::ResourceLimit& entry) { return entry.resource == RLIMIT_NOFILE; });
  ASSERT_NE(limit, plan.limits.end());
  EXPECT_LT(limit->hard, 1ULL << 40);
  EXPECT_TRUE(
      std::any_of(plan.warnings.begin(), plan.warnings.end(),
                  [](const std::string& warning) { return warning.starts_with("limits.files"); }));
}

TEST_F(PlanTest, NoexecMarksTheMountOrPinsTheDirectory) {
  profile_.filesystem.noexec = {Path("/tmp"), Path(base_ + "/project/out")};
  const wire::CellPlan plan = Plan();
  EXPECT_TRUE(Find(plan, "/tmp", wire::MountKind::kTmpfs)->no_exec);
  ASSERT_NE(Find(plan, base_ + "/project/out", wire::MountKind::kPin), nullptr);
  EXPECT_TRUE(Find(plan, base_ + "/project/out", wire::MountKind::kPin)->no_exec);
}

}  // namespace
}  // namespace cellrun::cells
