// SPDX-License-Identifier: Apache-2.0
// Init under the filter of a real cell, with somebody at its listener; and init whose broker is
// slow.
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <set>
#include <thread>

#include "lib/sys/file.h"
#include "lib/sys/filter.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/socket.h"
#include "shim/cell_fixture.h"
#include "shim/children.h"
#include "tests/support/required.h"

namespace cellrun::shim {
namespace {

// Answers every notification until it is destroyed: execve with CONTINUE or an errno, everything
// else with EPERM. The cell must be alive as long as this is.
class Supervisor {
 public:
  // `exec_error`: 0 continues.
  Supervisor(const UniqueFd& listener, int exec_error)
      : listener_(listener), exec_error_(exec_error), stop_(MakeOutput()) {
    thread_ = std::thread([this] { Serve(); });
  }
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;
  ~Supervisor() { Stop(); }

  void Stop() {
    stop_.write.Reset();
    if (thread_.joinable()) thread_.join();
  }
  // After Stop(): who called what.
  [[nodiscard]] const std::multiset<pid_t>& callers() const { return callers_; }
  [[nodiscard]] const std::multiset<int>& numbers() const { return numbers_; }

 private:
  void Serve() {
    std::array<pollfd, 2> wait = {pollfd{listener_.get(), POLLIN, 0},
                                  pollfd{stop_.read.get(), POLLIN, 0}};
    while (poll(wait.data(), wait.size(), -1) > 0 && wait[1].revents == 0 &&
           (wait[0].revents & POLLIN) != 0) {
      const auto call = sys::SeccompReceive(listener_);
      if (call.ok() && call->has_value()) Answer(**call);
    }
  }
  void Answer(const seccomp_notif& call) {
    callers_.insert(static_cast<pid_t>(call.pid));
    numbers_.insert(call.data.nr);
    const bool is_exec = call.data.nr == SYS_execve;
    // ENOENT: the caller died meanwhile.
    if (is_exec && exec_error_ == 0) {
      (void)sys::SeccompContinue(listener_, call.id);
    } else {
      (void)sys::SeccompReplyError(listener_, call.id, is_exec ? exec_error_ : EPERM);
    }
  }

  const UniqueFd& listener_;
  const int exec_error_;
  Output stop_;
  std::multiset<pid_t> callers_;
  std::multiset<int> numbers_;
  std::thread thread_;
};

class SupervisedInitTest : public CellFixture {
 protected:
  void StartUnderRealFilter() {
    StartInit();
    if (control_.valid()) SetUpFilter(sys::BuildFilter({}), "{\"token\":1}");
  }
  void Signal(int pid, int signal) {
    Send({.type = wire::kSignal, .id = 9, .a = pid, .b = signal, .c = 0, .payload_bytes = 0});
  }
  // Takes reports until every one of `spawned` has exited.
  void ExpectAllExit(std::multiset<std::uint32_t> spawned) {
    while (!spawned.empty()) {
      const Event event = Next();
      ASSERT_TRUE(event.header.type == wire::kSpawned || event.header.type == wire::kExited)
          << event.header.type;
      if (event.header.type == wire::kExited) spawned.erase(event.header.id);
    }
  }
};

#define START_UNDER_REAL_FILTER() \
  StartUnderRealFilter();         \
  if (IsSkipped() || HasFatalFailure()) return

TEST_F(SupervisedInitTest, ItsOwnCallsAreNeverNotified) {
  START_UNDER_REAL_FILTER();
  Supervisor supervisor(listener_, 0);
  EXPECT_EQ(Run({"/bin/echo", "judged"}), "judged\n");
  Spawn({.argv = {"/bin/sh", "-c", "sleep 1000"},
         .flags = wire::kSpawnStdinTerminal | wire::kSpawnStdoutTerminal});
  const int pid = Expect(wire::kSpawned).header.a;
  const Event terminal = Expect(wire::kTerminal);  // its master, or the command is hung up
  Signal(pid, SIGSTOP);
  Expect(wire::kStopped);
  Signal(pid, SIGKILL);
  Expect(wire::kExited);
  EXPECT_EQ(Run({"/bin/sh", "-c", "(sh -c 'exit 1' &); unshare -U true || echo refused"}),
            "refused\n");
  supervisor.Stop();
  EXPECT_FALSE(supervisor.callers().contains(init_.pid()));
  EXPECT_TRUE(supervisor.numbers().contains(SYS_execve));
  EXPECT_TRUE(supervisor.numbers().contains(SYS_unshare));
}

TEST_F(SupervisedInitTest, ExecThatTheBrokerRefusesFailsWithItsErrno) {
  START_UNDER_REAL_FILTER();
  Supervisor supervisor(listener_, EPERM);
  Spawn({.argv = {"true"}, .environment = {"PATH=/usr/bin:/bin"}});
  Expect(wire::kSpawned);
  EXPECT_EQ(Expect(wire::kExecFailed).header.b, EPERM);
  EXPECT_EQ(WEXITSTATUS(Expect(wire::kExited).header.b), 126);
  supervisor.Stop();
  EXPECT_EQ(supervisor.numbers().size(), 1U) << "EPERM ends the search";
}

TEST_F(SupervisedInitTest, DeniedDirectoryDoesNotEndTheSearchInPath) {
  START_UNDER_REAL_FILTER();
  Supervisor supervisor(listener_, EACCES);
  Spawn({.argv = {"true"}, .environment = {"PATH=/usr/bin:/nonexistent:/bin"}});
  Expect(wire::kSpawned);
  EXPECT_EQ(Expect(wire::kExecFailed).header.b, EACCES);
  Expect(wire::kExited);
  supervisor.Stop();
  EXPECT_EQ(supervisor.numbers().size(), 3U);
}

TEST_F(SupervisedInitTest, ServesOrdersWhileAnExecIsBeingJudged) {
  START_UNDER_REAL_FILTER();
  // Nobody answers its exec.
  const std::uint32_t held = Spawn({.argv = {"/bin/true"}});
  const int pid = Expect(wire::kSpawned).header.a;
  pollfd wait{.fd = listener_.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&wait, 1, 20'000), 1);
  const std::uint32_t second = Spawn({.argv = {"/bin/true"}});
  EXPECT_EQ(Expect(wire::kSpawned).header.id, second);
  Signal(pid, SIGKILL);
  const Event exited = Expect(wire::kExited);
  EXPECT_EQ(exited.header.id, held);
  EXPECT_EQ(WTERMSIG(exited.header.b), SIGKILL);
}

TEST_F(SupervisedInitTest, KeepsNoCopyOfTheListener) {
  StartCell();
  if (IsSkipped() || HasFatalFailure()) return;
  Run({"/bin/true"});  // init has read this order after it closed the listener
  const auto pidfd = sys::PidfdOpen(init_.pid());
  ASSERT_TRUE(pidfd.ok());
  // 0, 1, 2, control and signals; the numbers above are free.
  int open = 0;
  for (int fd = 0; fd < 64; fd++) {
    const auto copy = sys::PidfdGetfd(*pidfd, fd);
    if (copy.ok()) open++;
    // Who may not look at init at all would find nothing and learn nothing.
    REQUIRE_OR_SKIP(copy.ok() || copy.error().code() != EPERM, copy.error().ToString());
    ASSERT_TRUE(copy.ok() || copy.error().code() == EBADF) << copy.error().ToString();
  }
  EXPECT_EQ(open, 5);
}

TEST_F(SupervisedInitTest, FullTableRefusesAndGoesOn) {
  StartCell();
  if (IsSkipped() || HasFatalFailure()) return;
  std::multiset<std::uint32_t> running;
  std::vector<int> pids;
  for (unsigned i = 0; i < kMaxChildren; i++) {
    running.insert(Spawn({.argv = {"/bin/sleep", "1000"}}));
    pids.push_back(Expect(wire::kSpawned).header.a);
  }
  const std::uint32_t refused = Spawn({.argv = {"/bin/true"}});
  const Event failed = Expect(wire::kExecFailed);
  EXPECT_EQ(failed.header.id, refused);
  EXPECT_EQ(failed.header.a, 0);
  EXPECT_EQ(failed.header.b, EAGAIN);
  EXPECT_EQ(failed.header.c, wire::kStepFork);
  for (const int pid : pids) Signal(pid, SIGKILL);
  ExpectAllExit(running);
  EXPECT_EQ(Run({"/bin/echo", "again"}), "again\n");
}

TEST_F(SupervisedInitTest, WaitsForABrokerThatDoesNotReadAndLosesNothing) {
  StartInit({.small_buffer = true});
  if (IsSkipped() || HasFatalFailure()) return;
  SetUpFilter(AllowAll());
  std::multiset<std::uint32_t> spawned;
  for (int i = 0; i < 40; i++) spawned.insert(Spawn({.argv = {"/bin/true"}}));
  // Its buffer holds a few reports; the first of the rest is what it now waits to send.
  pollfd wait{.fd = control_.get(), .events = POLLIN, .revents = 0};
  ASSERT_EQ(poll(&wait, 1, 20'000), 1);
  ExpectAllExit(spawned);
}

TEST_F(SupervisedInitTest, EndsWhenTheBrokerDoesNotReadForTooLong) {
  StartInit({.small_buffer = true});
  if (IsSkipped() || HasFatalFailure()) return;
  SetUpFilter(AllowAll());
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < 40; i++) Spawn({.argv = {"/bin/true"}});
  const int status = WaitForInit();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 1) << status;
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::seconds(10))
      << "a broker that is being replaced would lose its cells";
}

}  // namespace
}  // namespace cellrun::shim
