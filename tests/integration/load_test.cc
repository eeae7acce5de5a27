// SPDX-License-Identifier: Apache-2.0
// Many programs: none lost, none unjudged, nothing kept.
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/remains.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;

// What a process holds, from /proc.
struct Holdings {
  long descriptors = 0, threads = 0, resident_kib = 0;
};

Holdings HoldingsOf(pid_t pid) {
  const std::string base = "/proc/" + std::to_string(pid);
  Holdings holdings;
  holdings.descriptors = DescriptorCount(pid);
  std::ifstream status(base + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("Threads:")) holdings.threads = std::stol(line.substr(8));
    if (line.starts_with("VmRSS:")) holdings.resident_kib = std::stol(line.substr(6));
  }
  return holdings;
}

class LoadSlowTest : public Sandbox {
 protected:
  Options Open() {
    return {
        .profile = OpenProfile(), .flags = ProbeFlags(), .time_limit = std::chrono::seconds(300)};
  }
  static std::string Program(const std::string& name) {
    return std::filesystem::path(Probe()).parent_path() / name;
  }
};

TEST_F(LoadSlowTest, TenThousandExecsLeaveNothingInTheBroker) {
  const auto storm = [&](const std::string& mode, int count) {
    const Outcome outcome =
        Run({Program("storm"), mode, "4", std::to_string(count), Program("minimal")}, Open());
    EXPECT_EQ(outcome.status, 0) << mode << ": " << outcome;
    EXPECT_THAT(outcome.out, HasSubstr(std::to_string(count) + " 0 ")) << mode;
  };
  storm("spawn", 1000);  // what is made once is made
  const Holdings before = HoldingsOf(BrokerPid());
  ASSERT_GT(before.descriptors, 0);
  storm("spawn", 4000);
  storm("fork", 3000);
  storm("vfork", 3000);
  Holdings after = HoldingsOf(BrokerPid());
  for (int i = 0; i < 500 && after.descriptors > before.descriptors; ++i) {
    usleep(20000);
    after = HoldingsOf(BrokerPid());
  }
  EXPECT_LE(after.descriptors, before.descriptors);
  EXPECT_LE(after.threads, before.threads);
  EXPECT_LE(after.resident_kib, before.resident_kib + 20 * 1024);
  EXPECT_EQ(Cellrun({"audit", "verify"}).status, 0);
  EXPECT_EQ(History({"--exe", "minimal"}).size(), 11000U) << "each is on record";
}

TEST_F(LoadSlowTest, ThreadsThatExecAtOnceDoNotFreezeTheSupervisor) {
  const Outcome outcome = Shell("for i in $(seq 300); do " + Probe() + " exec-threads " +
                                    Program("minimal") + " || exit 1; done; echo done",
                                Open());
  EXPECT_EQ(outcome.out, "done\n") << outcome;
}

TEST_F(LoadSlowTest, AHundredCellsOneAfterTheOtherLeaveNothing) {
  const Options options = Open();
  for (int n = 0; n < 10; ++n) EXPECT_EQ(Run({"true"}, options).status, 0);
  Holdings before = HoldingsOf(BrokerPid());
  for (int n = 0; n < 100; ++n) ASSERT_EQ(Run({"true"}, options).status, 0);
  Holdings after = HoldingsOf(BrokerPid());
  for (int i = 0; i < 500 && after.descriptors > before.descriptors; ++i) {
    usleep(20000);
    after = HoldingsOf(BrokerPid());
  }
  EXPECT_LE(after.descriptors, before.descriptors);
  EXPECT_LE(after.threads, before.threads);
  EXPECT_LE(after.resident_kib, before.resident_kib + 8 * 1024);
}

// What cells of one workspace protect is united: the same names, however many cells name them.
TEST_F(LoadSlowTest, SixtyCellsInOneWorkspaceCostTheSameEach) {
  constexpr int kCells = 60;
  Options options = Open();
  options.hold_input = true;
  const auto start = [&](int count, std::vector<Process>& cells) {
    for (int i = 0; i < count; ++i)
      cells.push_back(Start({"sh", "-c", "echo up; read -r line"}, options));
    for (Process& cell : cells) ASSERT_TRUE(cell.WaitForOutput("up\n")) << cell.err();
  };
  std::vector<Process> cells;
  cells.reserve(kCells);
  ASSERT_NO_FATAL_FAILURE(start(10, cells));
  const Holdings few = HoldingsOf(BrokerPid());
  ASSERT_NO_FATAL_FAILURE(start(kCells - 10, cells));
  const Holdings many = HoldingsOf(BrokerPid());
  EXPECT_LE(many.resident_kib, few.resident_kib + (kCells - 10) * 256) << few.resident_kib;
  for (Process& cell : cells) cell.CloseInput();
  for (Process& cell : cells) EXPECT_EQ(cell.Wait().status, 1);  // of read, at the end of file
}

TEST_F(LoadSlowTest, HidesMoreNamesThanAMessageHolds) {
  for (int i = 0; i < 1500; ++i) Write(Work("packages/p" + std::to_string(i) + "/.env"), "TOKEN=1");
  Options options = Open();
  options.profile = WriteProfile(
      "cellrun: 1\nname: tested\nextends: [base]\ncommands: {default: allow}\n"
      "filesystem: {hide: ['**/.env']}\n");
  const Outcome outcome =
      Shell("cat packages/*/.env | wc -c; ls -d packages/*/.env | wc -l", options);
  EXPECT_EQ(outcome.out, "0\n1500\n") << outcome;
}

TEST_F(LoadSlowTest, DenialsUnderLoadAreAllDenials) {
  const std::string path = WriteProfile(
      "cellrun: 1\nname: tested\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
      "    - {name: no-minimal, when: {exe: '" +
      Program("minimal") + "'}, then: deny}\n");
  Options options = Open();
  options.profile = path;
  const Outcome outcome = Run({Program("storm"), "spawn", "4", "500", Program("minimal")}, options);
  EXPECT_EQ(outcome.status, 1) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("0 500 "));
}

}  // namespace
}  // namespace cellrun::test
