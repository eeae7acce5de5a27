// SPDX-License-Identifier: Apache-2.0
// Each call that the broker makes for a start and its execs, made to fail once, or to be its last.
// Then either nothing of it runs and the cause is said, or the cell is what it is without the
// fault; what the profile denies never runs.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <memory>
#include <sstream>

#include "tests/faults/fault_plan.h"
#include "tests/support/remains.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;
using testing::Not;

// What a cell is, from inside, and what becomes of programs that are allowed and denied.
constexpr char kScript[] = R"(
exec 2>&1
while read -r id parent device root point options rest; do echo "$point $options"; done \
  < /proc/self/mountinfo
ls -A / /run /run/cellrun; cat .env; echo x >> kept
touch mark; echo "denied $?"; echo "end"
)";

class BrokerFaultSlowTest : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    Write(Work(".env"), "SECRET\n");
    Write(Work("kept"), "kept\n");
    profile_ = WriteProfile(
        "cellrun: 1\nname: guarded\nextends: [base]\n"
        "commands:\n  default: allow\n  rules:\n    - {when: {exe: touch}, then: deny}\n"
        "filesystem:\n  hide: [.env]\n  protect: [kept]\n");
  }

  // A broker with the fault library, in front.
  Process StartBroker() {
    Command command = CellrunCommand({});
    command.argv = {Prefix() + "/libexec/cellrun/cellrun-broker", "--ready-fd", "3",
                    "--idle-seconds", "600"};
    command.environment["LD_PRELOAD"] =
        std::filesystem::path(Probe()).parent_path().string() + "/faults.so";
    command.environment["CELLRUN_TEST_FAULTS"] = Path("faults");
    command.in_child = [] { (void)dup2(STDOUT_FILENO, 3); };  // it makes the first three its own
    command.time_limit = std::chrono::seconds(600);
    Process broker(std::move(command));
    EXPECT_TRUE(broker.WaitForOutput("ready")) << broker.err();
    return broker;
  }

  Outcome Play() {
    return Run({"bash", "-c", kScript},
               {.profile = profile_, .time_limit = std::chrono::seconds(20)});
  }
  // How often the calls of one play are made, when everything is there that is made once.
  std::int64_t CountCalls() {
    std::int64_t most = 0;
    for (int i = 0; i < 3; ++i) {
      faults().Count();
      EXPECT_EQ(Play().status, 0);
      most = std::max(most, faults().Disarm());
    }
    return most;
  }
  // The kernel lists mounts in an order of its own.
  static bool IsWhole(const Outcome& outcome, const std::string& whole) {
    return outcome.status == 0 && SortedLines(outcome.out) == SortedLines(whole);
  }
  // Whether a cell is whole again within some seconds; some faults are felt a little longer.
  bool Recovers(const std::string& whole) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    do {
      if (IsWhole(Play(), whole)) return true;
    } while (std::chrono::steady_clock::now() < until);
    return false;
  }
  // Once the last cell is gone. -1, -1: an ordinary user cannot count them.
  static bool HoldsAtMost(pid_t pid, long descriptors) {
    for (int i = 0; i < 500 && DescriptorCount(pid) > descriptors; ++i) usleep(20000);
    return DescriptorCount(pid) <= descriptors;
  }
  void ExpectHonest(const Outcome& outcome, const std::string& whole, const std::string& what) {
    EXPECT_FALSE(outcome.timed_out) << what << ": it hangs: " << outcome;
    EXPECT_FALSE(Exists(Work("mark"))) << what << ": what is denied ran: " << outcome;
    EXPECT_EQ(Read(Work("kept")), "kept\n") << what;
    EXPECT_THAT(outcome.out, Not(HasSubstr("SECRET"))) << what;
    if (IsWhole(outcome, whole)) return;
    if (outcome.out.ends_with("end\n") && outcome.status == 0)
      return ExpectDenied(outcome, whole, what);
    // Where exec can no longer fail, the kernel leaves nothing but to kill.
    if (outcome.status == 128 + SIGKILL && outcome.out.empty()) return;
    EXPECT_NE(outcome.status, 0) << what << ": less than whole, and nothing is said: " << outcome;
    EXPECT_THAT(outcome.err, HasSubstr("error: ")) << what << ": " << outcome;
  }
  // The cell is whole, but an exec in it was denied, or killed where it was too late for that: its
  // line is missing, another one says so.
  void ExpectDenied(const Outcome& outcome, const std::string& whole, const std::string& what) {
    int said = 0;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);) {
      const bool known = whole.find(line + "\n") != std::string::npos;
      if (known) continue;
      const bool honest = line.find("Permission denied") != std::string::npos ||
                          line.find("Input/output error") != std::string::npos ||
                          line.find(" Killed ") != std::string::npos ||
                          line.starts_with("cellrun: ") || line.starts_with("denied 1");
      EXPECT_TRUE(honest) << what << ": a line that is not there otherwise: " << line;
      said += honest ? 1 : 0;
    }
    EXPECT_GT(said, 0) << what << ": nothing is said, and missing is: "
                       << testing::PrintToString(Missing(outcome.out, whole));
  }
  static Words SortedLines(const std::string& text) {
    Words lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  static Words Missing(const std::string& part, const std::string& whole) {
    const Words have = SortedLines(part), wanted = SortedLines(whole);
    Words missing;
    std::set_difference(wanted.begin(), wanted.end(), have.begin(), have.end(),
                        std::back_inserter(missing));
    return missing;
  }

  FaultMap& faults() {
    if (!faults_) faults_ = std::make_unique<FaultMap>(Path("faults"));
    return *faults_;
  }

 private:
  std::string profile_;
  std::unique_ptr<FaultMap> faults_;
};

TEST_F(BrokerFaultSlowTest, ACallThatFailsDeniesOrChangesNothing) {
  (void)faults();
  Process broker = StartBroker();
  const Outcome whole = Play();
  ASSERT_EQ(whole.status, 0) << whole;
  ASSERT_THAT(whole.out, AllOf(HasSubstr("denied 126"), Not(HasSubstr("SECRET"))));
  const std::int64_t calls = CountCalls();
  ASSERT_GT(calls, 200);
  const long descriptors = DescriptorCount(broker.pid());
  int noticed = 0;
  // Each lane takes half of them.
  for (std::int64_t at = IsRootLane() ? 1 : 2; at <= calls; at += 2) {
    faults().Arm(kFaultError, at, EIO);
    const Outcome outcome = Play();
    (void)faults().Disarm();
    const std::string what = "call " + std::to_string(at) + ", " + faults().fired();
    ExpectHonest(outcome, whole.out, what);
    noticed += IsWhole(outcome, whole.out) ? 0 : 1;
    ASSERT_EQ(BrokerPid(), broker.pid())
        << what << ": it has ended: " << Read(Path("state/broker.log"));
    ASSERT_TRUE(Recovers(whole.out)) << what << ": the broker does not recover";
  }
  EXPECT_GT(noticed, 20) << "faults that are noticed";
  EXPECT_TRUE(HoldsAtMost(broker.pid(), descriptors + 2)) << DescriptorCount(broker.pid());
  EXPECT_EQ(Cellrun({"broker", "stop"}).status, 0);
  EXPECT_EQ(broker.Wait().status, 0);
}

TEST_F(BrokerFaultSlowTest, ABrokerKilledAtAnyCallLeavesNothing) {
  MayLeaveSockets();
  std::int64_t calls = 0;
  std::string whole;
  {
    (void)faults();
    Process broker = StartBroker();
    whole = Play().out;
    ASSERT_THAT(whole, HasSubstr("denied 126"));
    calls = CountCalls();
    broker.Signal(SIGKILL);
    (void)broker.Wait();
  }
  ASSERT_GT(calls, 200);
  int killed = 0;
  constexpr int kEvery = 4;
  for (std::int64_t at = IsRootLane() ? 1 : 3; at <= calls; at += kEvery) {
    Process broker = StartBroker();
    faults().Arm(kFaultKill, at);
    const Outcome outcome = Play();
    (void)faults().Disarm();
    const std::string what = "call " + std::to_string(at) + ", " + faults().fired();
    EXPECT_FALSE(outcome.timed_out) << what << ": it hangs: " << outcome;
    EXPECT_FALSE(Exists(Work("mark"))) << what << ": what is denied ran: " << outcome;
    EXPECT_THAT(outcome.out, Not(HasSubstr("SECRET"))) << what;
    if (!IsWhole(outcome, whole)) {
      EXPECT_NE(outcome.status, 0) << what << ": less than whole, and nothing is said: " << outcome;
      EXPECT_THAT(outcome.err, HasSubstr("error: ")) << what << ": " << outcome;
    }
    killed += faults().fired().empty() ? 0 : 1;
    broker.Signal(SIGKILL);
    (void)broker.Wait();
    // A launcher that was not served yet has started another one.
    if (BrokerPid() != 0) {
      EXPECT_EQ(Cellrun({"broker", "stop", "--force"}).status, 0) << what;
    }
    EXPECT_EQ(WaitForNoDescendants(std::chrono::seconds(10)), std::vector<std::string>{}) << what;
    EXPECT_EQ(MountsMentioning(Work()), std::vector<std::string>{}) << what;
  }
  EXPECT_GT(killed, 20);
  const Outcome next = Play();
  EXPECT_TRUE(IsWhole(next, whole)) << "the next run starts a new one: " << next;
  EXPECT_EQ(Cellrun({"audit", "verify"}).status, 0);
}

// A day ahead, a day back: what is timed goes by the monotonic clock.
TEST_F(BrokerFaultSlowTest, AWallClockThatJumpsEndsNothing) {
  constexpr std::int64_t kDay = 86400;
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: asks\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
      "    - {when: {exe: id}, then: ask}\napprovals: {timeout: 60s}\n");
  (void)faults();
  Process broker = StartBroker();
  Process cell = Start({"bash", "-c", "id -u; echo status=$?"},
                       {.profile = profile, .flags = {"--time", "60s"}, .hold_input = true});
  ASSERT_TRUE(cell.WaitForError("waiting for approval")) << cell.err();
  for (const std::int64_t shift : {kDay, -kDay}) {
    faults().ShiftWallClock(shift);
    const Outcome other = Run({"true"}, {.profile = OpenProfile()});
    EXPECT_EQ(other.status, 0) << "others start: " << other;
    const Outcome listed = Cellrun({"approvals", "list"});
    EXPECT_THAT(listed.out, HasSubstr("id -u")) << "it still waits: " << listed;
  }
  const std::string id = cell.err().substr(cell.err().find("approval ") + 9, 8);
  EXPECT_EQ(Cellrun({"approve", id.substr(0, id.find_first_of(" ,:;\n"))}).status, 0) << cell.err();
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out, HasSubstr("status=0\n")) << outcome;
  EXPECT_EQ(Cellrun({"audit", "verify"}).status, 0);
  EXPECT_EQ(Cellrun({"broker", "stop"}).status, 0);
  EXPECT_EQ(broker.Wait().status, 0);
}

}  // namespace
}  // namespace cellrun::test
