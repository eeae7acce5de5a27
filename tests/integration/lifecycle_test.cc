// SPDX-License-Identifier: Apache-2.0
// How cells and the broker begin and end. That nothing is left is checked by the sandbox after
// every case.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <list>
#include <set>

#include "tests/support/remains.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;

class LifecycleTest : public Sandbox {
 protected:
  Options Open() { return {.profile = OpenProfile(), .flags = ProbeFlags()}; }
  // A cell that has started and goes on until somebody ends it.
  Process Sleeper(const Options& options) {
    Process process = Start({"bash", "-c", "echo up; sleep 1000"}, options);
    EXPECT_TRUE(process.WaitForOutput("up\n")) << process.err();
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (DescendantsRunning("sleep").empty() && std::chrono::steady_clock::now() < deadline) {
      usleep(2000);
    }
    return process;
  }
  // Waits until no program of that name is below this process.
  static bool AllGone(const std::string& program) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!DescendantsRunning(program).empty()) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      usleep(5000);
    }
    return true;
  }
};

TEST_F(LifecycleTest, ADaemonEndsWithItsCell) {
  const Outcome outcome =
      Shell(Probe() + " daemon " + Work("up") + "; until test -s up; do :; done", Open());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(Read(Work("up")), "running\n");
  EXPECT_TRUE(AllGone("probe"));
}

TEST_F(LifecycleTest, ManyOrphansAreReapedInsideAndGoneOutside) {
  const Outcome outcome =
      Shell("for i in $(seq 200); do (sleep 0.01 &) ; done; (sleep 1000 &); true", Open());
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(AllGone("sleep"));
}

TEST_F(LifecycleTest, KillingTheLauncherEndsTheCell) {
  Process process = Sleeper(Open());
  process.Signal(SIGKILL);
  EXPECT_EQ(process.Wait().status, 128 + SIGKILL);
  EXPECT_TRUE(AllGone("sleep"));
  EXPECT_EQ(Run({"true"}, Open()).status, 0) << "the broker serves on";
}

TEST_F(LifecycleTest, SignalsReachTheCommandAndItsStatusComesBack) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) {
    Process process = Start({"bash", "-c", "echo up; exec sleep 1000"}, Open());
    ASSERT_TRUE(process.WaitForOutput("up\n")) << process.err();
    process.Signal(signal);
    const Outcome outcome = process.Wait();
    EXPECT_EQ(outcome.status, 128 + signal) << outcome;
  }
}

// The one that is signalled may have gone with the order unread: what it said before counts.
TEST_F(LifecycleTest, ACommandThatEndsWhileItIsSignalledHasItsOwnStatus) {
  for (int n = 0; n < 40; ++n) {
    Options options = Open();
    options.hold_input = true;
    Process process = Start({"bash", "-c", "trap '' USR1; echo up; read line; exit 7"}, options);
    ASSERT_TRUE(process.WaitForOutput("up\n")) << process.err();
    process.CloseInput();
    siginfo_t ended{};
    while (waitid(P_PID, static_cast<id_t>(process.pid()), &ended, WEXITED | WNOHANG | WNOWAIT) ==
               0 &&
           ended.si_pid == 0)
      process.Signal(SIGUSR1);
    const Outcome outcome = process.Wait();
    ASSERT_EQ(outcome.status, 7) << outcome << n;
  }
}

// From the command's first word on, also while the launcher still finishes the start.
TEST_F(LifecycleTest, AnEarlySignalReachesTheCommand) {
  for (int n = 0; n < 20; ++n) {
    Process trap =
        Start({"bash", "-c", "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"}, Open());
    ASSERT_TRUE(trap.WaitForOutput("up\n"));
    trap.Signal(SIGTERM);
    const Outcome trapped = trap.Wait();
    EXPECT_EQ(trapped.status, 9) << trapped;
  }
}

// Whenever a SIGTERM comes, between the launcher's first instruction and the command's last, it
// ends the run: none is lost on the way.
TEST_F(LifecycleTest, NoSignalIsLostDuringTheStart) {
  ASSERT_EQ(Run({"true"}, Open()).status, 0) << "the broker is there";
  for (int n = 0; n < 60; ++n) {
    Process process = Start({"sleep", "1000"}, Open());
    usleep(static_cast<useconds_t>(n) * 300);
    process.Signal(SIGTERM);
    const Outcome outcome = process.Wait();
    EXPECT_EQ(outcome.status, 128 + SIGTERM) << n << ": " << outcome;
  }
}

TEST_F(LifecycleTest, KillingTheBrokerEndsItsCellsAndSaysSo) {
  MayLeaveSockets();
  Process process = Sleeper(Open());
  ASSERT_GT(BrokerPid(), 0);
  kill(BrokerPid(), SIGKILL);
  const Outcome outcome = process.Wait();
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: "), HasSubstr("broker")));
  EXPECT_TRUE(AllGone("sleep"));
  const Outcome next = Run({"echo", "again"}, Open());
  EXPECT_EQ(next.out, "again\n") << "the next run starts a new one: " << next;
}

TEST_F(LifecycleTest, NothingRunsInACellWithoutItsBroker) {
  MayLeaveSockets();
  // The cell goes on trying to start programs that leave a mark; none may after the broker is gone.
  Process process =
      Start({"bash", "-c", "echo up; n=0; while :; do touch mark.$((n++)) || exit; done"}, Open());
  ASSERT_TRUE(process.WaitForOutput("up\n"));
  kill(BrokerPid(), SIGKILL);
  process.Wait();
  EXPECT_TRUE(AllGone("bash"));
  const auto count = [this] {
    return std::distance(std::filesystem::directory_iterator(Work()),
                         std::filesystem::directory_iterator());
  };
  const auto first = count();
  EXPECT_EQ(count(), first);
}

TEST_F(LifecycleTest, StoppingTheBrokerRefusesWhileCellsRunUnlessForced) {
  Process process = Sleeper(Open());
  const Outcome refused = Cellrun({"broker", "stop"});
  EXPECT_EQ(refused.status, 1) << refused;
  EXPECT_FALSE(DescendantsRunning("sleep").empty());
  EXPECT_EQ(Cellrun({"broker", "stop", "--force"}).status, 0);
  EXPECT_EQ(process.Wait().status, 125);
  EXPECT_TRUE(AllGone("sleep"));
  EXPECT_EQ(BrokerPid(), 0);
}

TEST_F(LifecycleTest, StatusTellsWhetherABrokerRuns) {
  EXPECT_EQ(Cellrun({"broker", "status"}).status, 1);
  EXPECT_EQ(BrokerPid(), 0) << "asking starts nothing";
  const pid_t pid = StartBroker();
  const Outcome status = Cellrun({"broker", "status", "-o", "json"});
  EXPECT_EQ(status.status, 0) << status;
  EXPECT_THAT(status.out, HasSubstr(std::to_string(pid)));
  EXPECT_EQ(Cellrun({"broker", "start"}).status, 0) << "starting it again changes nothing";
  EXPECT_EQ(BrokerPid(), pid);
}

TEST_F(LifecycleTest, TwentyFirstRunsAtOnceShareOneBroker) {
  const Options options = Open();
  std::list<Process> runs;
  for (int n = 0; n < 20; ++n) runs.push_back(Start({"echo", "run " + std::to_string(n)}, options));
  int n = 0;
  for (auto& run : runs) {
    const Outcome outcome = run.Wait();
    EXPECT_EQ(outcome.status, 0) << n << ": " << outcome;
    EXPECT_EQ(outcome.out, "run " + std::to_string(n++) + "\n");
  }
  EXPECT_EQ(DescendantsRunning("cellrun-broker").size(), 1U);
}

TEST_F(LifecycleTest, CellsAtOnceDoNotSeeEachOther) {
  Options first = Open();
  first.flags.insert(first.flags.end(), {"--name", "first"});
  Process running = Sleeper(first);
  const Outcome outcome = Shell("cat /proc/[0-9]*/cmdline | tr '\\0' ' '; ls /run/cellrun", Open());
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("sleep 1000"))) << outcome;
  const Outcome ps = Cellrun({"ps", "-o", "name"});
  EXPECT_EQ(ps.out, "first\n") << ps;
}

TEST_F(LifecycleTest, ASquattedRuntimeDirectoryIsRefused) {
  const std::string runtime = RuntimeDirectory();
  struct Squat {
    const char* what;
    std::function<void()> prepare;
  };
  const Squat squats[] = {
      {"open to others", [&] { chmod(runtime.c_str(), 0777); }},
      {"a link",
       [&] {
         std::filesystem::remove(runtime);
         std::filesystem::create_directories(Path("real"));
         std::filesystem::create_symlink(Path("real"), runtime);
       }},
      {"a file",
       [&] {
         std::filesystem::remove_all(runtime);
         Write(runtime, "");
       }},
  };
  for (const auto& squat : squats) {
    squat.prepare();
    const Outcome outcome = Run({"true"}, Open());
    EXPECT_EQ(outcome.status, 125) << squat.what << ": " << outcome;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: "), HasSubstr(runtime))) << squat.what;
    EXPECT_EQ(BrokerPid(), 0) << squat.what;
  }
}

TEST_F(LifecycleTest, AsRootRefusesARuntimeDirectoryOfSomebodyElse) {
  ASSERT_EQ(chown(RuntimeDirectory().c_str(), 12345, 12345), 0);
  const Outcome outcome = Run({"true"}, Open());
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr(RuntimeDirectory()));
}

TEST_F(LifecycleTest, StaleSocketsOfADeadBrokerAreReplaced) {
  MayLeaveSockets();
  kill(StartBroker(), SIGKILL);
  ASSERT_TRUE(AllGone("cellrun-broker"));
  EXPECT_THAT(SocketsBelow(RuntimeDirectory()), testing::Not(IsEmpty()));
  EXPECT_EQ(Run({"echo", "on"}, Open()).out, "on\n");
}

TEST_F(LifecycleTest, TheBrokerEndsWhenNobodyHasNeededItForAWhile) {
  Command command = CellrunCommand({});
  command.argv = {Prefix() + "/libexec/cellrun/cellrun-broker", "--idle-seconds", "1"};
  Process broker(std::move(command));
  while (!Exists(RuntimeDirectory() + "/launch.sock") && kill(broker.pid(), 0) == 0) usleep(2000);
  EXPECT_EQ(Shell("sleep 2; echo longer than that", Open()).out, "longer than that\n")
      << "a running cell keeps it";
  const Outcome outcome = broker.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(SocketsBelow(RuntimeDirectory()), IsEmpty());
}

}  // namespace
}  // namespace cellrun::test
