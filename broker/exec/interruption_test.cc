// SPDX-License-Identifier: Apache-2.0
// Signals, stops and kills while an exec is judged, and what is left afterwards.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <iterator>
#include <memory>
#include <vector>

#include "broker/exec/judged_cell.h"
#include "broker/exec/race.h"

namespace cellrun::exec {
namespace {

void Ignore(int) {}
void HandleSignal(int number, bool restart) {
  struct sigaction action {};
  action.sa_handler = Ignore;
  action.sa_flags = restart ? SA_RESTART : 0;
  sigaction(number, &action, nullptr);
}

TEST(InterruptionTest, AStormOfTimersChangesNoAnswer) {
  JudgedCell cell;
  cell.decide = DenyNamed("/true", EPERM);
  EXPECT_EQ(cell.Run([] {
    // Without SA_RESTART the kernel itself may answer EINTR, as long as nobody has received the
    // call.
    HandleSignal(SIGALRM, true);
    const itimerval often{.it_interval = {0, 300}, .it_value = {0, 300}};
    setitimer(ITIMER_REAL, &often, nullptr);
    for (int i = 0; i < 500; ++i) {
      execl("/usr/bin/true", "true", nullptr);
      if (errno != EPERM) return errno;
    }
    return 0;
  }),
            0)
      << cell.output;
}

// SIGURG is ignored by default, so the shim survives it; until then a handler runs.
class SignalStormTest : public testing::TestWithParam<bool> {};
TEST_P(SignalStormTest, RedirectsEndInTheShim) {
  JudgedCell cell;
  cell.wait_killable = GetParam();
  cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] {
    for (int i = 0; i < 200 / kScale; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        HandleSignal(SIGURG, true);
        execl("/usr/bin/true", "true", nullptr);
        _exit(errno);
      }
      const Busy storm([&] {
        kill(child, SIGURG);
        Pause(2000);
      });
      int status = 0;
      waitpid(child, &status, 0);
      if (!WIFEXITED(status) || WEXITSTATUS(status) != 126) {
        dprintf(2, "round %d: status %x\n", i, status);
        return 1;
      }
    }
    return 0;
  }),
            0)
      << cell.output.substr(0, 2000);
}
TEST_P(SignalStormTest, AllowedProgramsRun) {
  JudgedCell cell;
  cell.wait_killable = GetParam();
  EXPECT_EQ(cell.Run([] {
    for (int i = 0; i < 200 / kScale; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        HandleSignal(SIGURG, true);
        execl("/usr/bin/true", "true", nullptr);
        _exit(errno);
      }
      const Busy storm([&] {
        kill(child, SIGURG);
        Pause(2000);
      });
      int status = 0;
      waitpid(child, &status, 0);
      if (status != 0) {
        dprintf(2, "round %d: status %x\n", i, status);
        return 1;
      }
    }
    return 0;
  }),
            0)
      << cell.output.substr(0, 2000);
}
INSTANTIATE_TEST_SUITE_P(WithAndWithoutWaitKillable, SignalStormTest, testing::Bool());

class StopTest : public testing::TestWithParam<int> {};  // 0: allowed, 126: redirected
TEST_P(StopTest, StoppingAndContinuingLosesNothing) {
  JudgedCell cell;
  if (GetParam() == 126) cell.decide = DenyNamed("/true", 0);
  const int expected = GetParam();
  EXPECT_EQ(cell.Run([expected] {
    for (int i = 0; i < 100 / kScale; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        execl("/usr/bin/true", "true", nullptr);
        _exit(errno);
      }
      int status = 0;
      {
        const Busy storm([&] {
          kill(child, SIGSTOP);
          Pause(3000);
          kill(child, SIGCONT);
          Pause(3000);
        });
        waitpid(child, &status, 0);
      }
      if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
        dprintf(2, "round %d: status %x\n", i, status);
        return 1;
      }
    }
    return 0;
  }),
            0)
      << cell.output.substr(0, 2000);
}
// On a machine with too much to do a task may be without a processor for longer than a redirect
// waits for a task that does something else.
TEST(StarvedTest, ItsRedirectTakesLonger) {
  JudgedCell cell;
  cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) return 1;
    std::vector<std::unique_ptr<Busy>> others;
    for (int i = 0; i < 12; ++i) others.push_back(std::make_unique<Busy>([] {}));
    const pid_t child = fork();
    if (child == 0) {
      const sched_param none{};
      if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) _exit(2);
      execl("/usr/bin/true", "true", nullptr);
      _exit(errno);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }),
            126)
      << cell.output.substr(0, 2000);
}

TEST_P(StopTest, KillingAtAnyMomentLeavesNothingBehind) {
  JudgedCell cell;
  if (GetParam() == 126) cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] {
    for (int i = 0; i < 400 / kScale; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        execl("/usr/bin/true", "true", nullptr);
        _exit(errno);
      }
      Pause(i * 400);
      kill(child, SIGKILL);
      waitpid(child, nullptr, 0);
    }
    return Spawn({"/usr/bin/sh", "-c", "exit 5"});
  }),
            5)
      << cell.output.substr(0, 2000);
}
INSTANTIATE_TEST_SUITE_P(AllowedAndRedirected, StopTest, testing::Values(0, 126));

std::size_t OpenDescriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}
std::size_t Threads() {
  const std::filesystem::directory_iterator all("/proc/self/task");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

TEST(LeakTest, NothingGrowsOverManyExecs) {
  JudgedCell cell;
  cell.decide = DenyNamed("/false", 0);
  std::size_t descriptors_early = 0, descriptors_late = 0, threads_late = 0;
  cell.outside = [&](notify::Supervisor& supervisor, pid_t) {
    const auto done = [&] { return supervisor.counters().allowed + supervisor.counters().denied; };
    while (done() < 200) usleep(1000);
    descriptors_early = OpenDescriptors();
    while (done() < 2200) usleep(1000);
    usleep(20000);
    descriptors_late = OpenDescriptors();
    threads_late = Threads();
  };
  EXPECT_EQ(cell.Run([] {
    for (int i = 0; i < 2000; ++i) {
      if (SpawnShared({"/usr/bin/true"}) != 0) return 1;
      if (i % 10 == 0 && SpawnShared({"/usr/bin/false"}) != 126) return 2;
    }
    usleep(200000);  // while the counts are taken
    return 0;
  }),
            0)
      << cell.output.substr(0, 500);
  EXPECT_LE(descriptors_late, descriptors_early + 8);  // a few may be in use at either moment
  EXPECT_LE(threads_late, 8U);
}

TEST(LeakTest, DestroyingASupervisorInTheMiddleEndsTheCell) {
  JudgedCell cell;
  cell.outside = [](notify::Supervisor&, pid_t pid) {
    usleep(50000);
    kill(pid, SIGKILL);
  };
  EXPECT_EQ(cell.Run([] {
    while (true) (void)SpawnShared({"/usr/bin/true"});
    return 0;
  }),
            128 + SIGKILL);
}

}  // namespace
}  // namespace cellrun::exec
