// SPDX-License-Identifier: Apache-2.0
// Each call that the broker makes for a start and its execs, made to fail once, or to be its last.
// Then either nothing of it runs and the cause is said, or the cell is what it is without the
// fault; what the profile denies never runs.
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "tests/faults/faulty_broker.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class BrokerFaultSlowTest : public FaultyBroker {};

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

// Where this host can limit a cell as a whole, a cell that must be limited is, or there is none.
TEST_F(BrokerFaultSlowTest, AsRootALimitThatFailsStartsNothing) {
  if (access("/sys/fs/cgroup/cpu/cgroup.procs", W_OK) != 0) return;  // its lines are of version 1
  const std::string limited = WriteProfile(
      "cellrun: 1\nname: limited\ncommands: {default: allow}\nrequire: [cgroup.cpu, cgroup.pids]\n"
      "limits: {cpus: 1, processes: 100}\n");
  const auto play = [&] {
    return Run({"grep", "-cE", ":(cpu|pids):/.*cellrun-", "/proc/self/cgroup"},
               {.profile = limited, .time_limit = std::chrono::seconds(20)});
  };
  (void)faults();
  Process broker = StartBroker();
  ASSERT_EQ(play().out, "2\n");
  faults().Count();
  ASSERT_EQ(play().status, 0);
  const std::int64_t calls = faults().Disarm();
  int refused = 0;
  constexpr int kEvery = 3;
  for (std::int64_t at = 1; at <= calls; at += kEvery) {
    faults().Arm(kFaultError, at, ENOSPC);
    const Outcome outcome = play();
    (void)faults().Disarm();
    const std::string what = "call " + std::to_string(at) + ", " + faults().fired();
    EXPECT_FALSE(outcome.timed_out) << what << ": it hangs: " << outcome;
    if (outcome.status == 0) {
      EXPECT_EQ(outcome.out, "2\n") << what << ": it is not limited: " << outcome;
    } else {
      EXPECT_THAT(outcome.out, testing::AnyOf("", "2\n")) << what;
      // Where exec can no longer fail, the kernel leaves nothing but to kill.
      if (outcome.status != 128 + SIGKILL) {
        EXPECT_THAT(outcome.err, HasSubstr("error: ")) << what << ": " << outcome;
      }
      ++refused;
    }
    EXPECT_TRUE(Until([&] { return play().out == "2\n"; })) << what << ": it does not recover";
  }
  EXPECT_GT(refused, 5);
  EXPECT_EQ(Cellrun({"broker", "stop", "--force"}).status, 0);
  (void)broker.Wait();
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
