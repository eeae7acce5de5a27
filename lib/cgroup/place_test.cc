// SPDX-License-Identifier: Apache-2.0
#include "lib/cgroup/place.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace cellrun::cgroup {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// A tree of ordinary files in the place of a mounted one.
class PlaceTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "cgroups.XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { fs::remove_all(root_); }

  void Group(const std::string& path, const std::string& controllers, const std::string& below = "",
             const std::string& processes = "") {
    fs::create_directories(root_ + path);
    Write(path + "/cgroup.controllers", controllers);
    Write(path + "/cgroup.subtree_control", below);
    Write(path + "/cgroup.procs", processes);
    if (!path.empty()) Write(path + "/cgroup.events", "populated 1\n");
  }
  void Write(const std::string& path, const std::string& text) {
    std::ofstream(root_ + path) << text;
  }
  std::string Read(const std::string& path) {
    std::ifstream in(root_ + path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  Place Find(const std::string& group, const Controllers& wanted = {Controller::kMemory}) {
    const Hierarchies mounted =
        Hierarchies::Parse("24 1 0:21 / " + root_ + " rw,nosuid - cgroup2 cgroup2 rw\n");
    return FindPlace(mounted, "0::" + group + "\n", wanted);
  }

  std::string root_;
};

TEST_F(PlaceTest, AnEmptyCgroupOfTheProcessItselfIsBest) {
  Group("", "memory pids cpu", "memory pids");
  Group("/s", "memory pids");
  const Place place = Find("/s");
  EXPECT_EQ(place.parent, root_ + "/s");
  EXPECT_EQ(place.disabled, Controllers{Controller::kMemory});
  EXPECT_FALSE(place.vacate);
  EXPECT_THAT(place.left, ElementsAre());
  ASSERT_TRUE(Prepare(place).ok());
  EXPECT_EQ(Read("/s/cgroup.subtree_control"), "+memory");
}

TEST_F(PlaceTest, AControllerThatHasGoneMeanwhileIsAnError) {
  Group("", "memory", "memory");
  Group("/s", "memory");
  const Place place = Find("/s");
  fs::remove(root_ + "/s/cgroup.subtree_control");
  const Result<void> prepared = Prepare(place);
  ASSERT_FALSE(prepared.ok());
  EXPECT_THAT(prepared.error().ToString(), HasSubstr("/s/cgroup.subtree_control"));
}

TEST_F(PlaceTest, BesideOneWithProcessesTheLimitsOfThatOneStay) {
  Group("", "memory pids cpu", "memory pids");
  Group("/u", "memory pids", "memory pids");
  Group("/u/session", "memory pids", "", "12\n");
  const Place place = Find("/u/session");
  EXPECT_EQ(place.parent, root_ + "/u");
  EXPECT_THAT(place.left, ElementsAre(root_ + "/u/session"));
  Write("/u/session/memory.max", "1000\n");
  Write("/u/session/pids.max", "max\n");
  Write("/u/session/cpu.max", "50000 100000\n");
  fs::create_directories(root_ + "/u/cell");
  Write("/u/cell/memory.max", "5000\n");
  Write("/u/cell/pids.max", "7\n");
  Write("/u/cell/cpu.max", "20000 100000\n");
  ASSERT_TRUE(CarryOver(place.left, root_ + "/u/cell").ok());
  EXPECT_THAT(Read("/u/cell/memory.max"), HasSubstr("1000"));
  EXPECT_EQ(Read("/u/cell/pids.max"), "7\n");
  EXPECT_EQ(Read("/u/cell/cpu.max"), "20000 100000\n");
}

// As in a container: nothing is to be seen above it.
TEST_F(PlaceTest, WhereNothingIsAboveTheProcessesHaveToMove) {
  Group("/d", "memory pids", "", "12\n");
  const Hierarchies mounted =
      Hierarchies::Parse("24 1 0:21 /d " + root_ + "/d rw - cgroup2 cgroup2 rw\n");
  const Place place = FindPlace(mounted, "0::/d\n", {Controller::kMemory});
  EXPECT_EQ(place.parent, root_ + "/d");
  EXPECT_TRUE(place.vacate);
  EXPECT_THAT(place.left, ElementsAre());
}

TEST_F(PlaceTest, OfSeveralTheNearestWithMostCounts) {
  Group("", "memory pids cpu", "memory pids cpu");
  Group("/u", "memory pids cpu", "memory pids");
  Group("/u/app", "memory pids", "memory pids");
  Group("/u/app/s", "memory pids", "", "12\n");
  EXPECT_EQ(Find("/u/app/s").parent, root_ + "/u/app");
  const Place place = Find("/u/app/s", {Controller::kMemory, Controller::kCpu});
  EXPECT_EQ(place.parent, root_ + "/u");
  EXPECT_EQ(place.disabled, Controllers{Controller::kCpu});
}

TEST_F(PlaceTest, WhatIsNowhereHasAReason) {
  Group("", "pids", "pids");
  Group("/s", "pids");
  EXPECT_THAT(Find("/s").missing.at(Controller::kMemory), HasSubstr("does not have"));
  EXPECT_TRUE(Find("/s").parent.empty());
  const Hierarchies none = Hierarchies::Parse("");
  EXPECT_THAT(FindPlace(none, "0::/\n", {Controller::kPids}).missing.at(Controller::kPids),
              HasSubstr("not mounted"));
}

TEST_F(PlaceTest, OfVersionOneTheHierarchyOfMemoryIsNeverUsed) {
  Group("/cpu/g", "");
  Group("/memory/g", "");
  Group("/pids/g", "");
  const auto line = [&](const std::string& name, const std::string& options) {
    return "30 1 0:22 / " + root_ + "/" + name + " rw - cgroup cgroup " + options + "\n";
  };
  const std::string mounts =
      line("cpu", "rw,cpu,cpuacct") + line("memory", "rw,memory") + line("pids", "rw,pids");
  const Controllers all(kControllers.begin(), kControllers.end());
  const Place place = FindPlace(Hierarchies::Parse(mounts),
                                "3:cpu,cpuacct:/g\n2:memory:/g\n1:pids:/g\n0::/\n", all);
  EXPECT_EQ(place.old.at(Controller::kCpu), root_ + "/cpu/g");
  EXPECT_EQ(place.old.at(Controller::kPids), root_ + "/pids/g");
  EXPECT_FALSE(place.old.contains(Controller::kMemory));
  EXPECT_TRUE(place.missing.contains(Controller::kMemory));
  const Place joined =
      FindPlace(Hierarchies::Parse(line("memory", "rw,memory,pids")), "2:memory,pids:/g\n", all);
  EXPECT_TRUE(joined.old.empty());
}

}  // namespace
}  // namespace cellrun::cgroup
