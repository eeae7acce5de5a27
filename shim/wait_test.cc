// SPDX-License-Identifier: Apache-2.0
#include "shim/wait.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <iostream>

#include "lib/sys/file.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/socket.h"
#include "shim/cell_fixture.h"
#include "shim/waiting_room_fixture.h"

namespace cellrun::shim {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class WaitingRoomTest : public WaitingRoomFixture {};

TEST_F(WaitingRoomTest, SaysWhatTheBrokerSaysAndExitsWithItsStatus) {
  Start();
  GiveChannel();
  Explain(126, "cellrun: denied: git push\nrule: x\n");
  EXPECT_EQ(ReadAll(error_), "cellrun: denied: git push\nrule: x\n");
  ExpectExit(126);
  EXPECT_EQ(ReadAll(out_), "");
}

TEST_F(WaitingRoomTest, ExplanationMayHaveItsFullLengthAndAnyStatus) {
  Start();
  GiveChannel();
  const std::string text(wire::kMaxShimText, 'x');
  Explain(3, text);
  EXPECT_EQ(ReadAll(error_), text);
  ExpectExit(3);
}

TEST_F(WaitingRoomTest, BecomesTheApprovedCommand) {
  Start();
  GiveChannel();
  Execute("/bin/sh", {"renamed", "-c", "echo \"$0|$1|$A\"", "zero", "a b"}, {"A=1"});
  EXPECT_EQ(ReadAll(out_), "zero|a b|1\n");
  EXPECT_EQ(ReadAll(error_), "");
  ExpectExit(0);
}

TEST_F(WaitingRoomTest, LeavesNoDescriptorToTheCommand) {
  Start([] { CHECK(dup2(0, 7) == 7); });
  GiveChannel();
  Execute(InsidePath(), {"inside", "fds"}, {});
  EXPECT_EQ(ReadAll(out_), "0\n1\n2\n7\n") << "7 is the caller's";
  ExpectExit(0);
}

TEST_F(WaitingRoomTest, KeepsPidGroupAndDirectory) {
  Start([] {
    setsid();
    CHECK(chdir("/usr") == 0);
  });
  const pid_t pid = pid_;
  GiveChannel();
  Execute("/bin/sh", {"sh", "-c", "echo $$; pwd; cut -d' ' -f5,6 /proc/$$/stat"},
          {"PATH=/usr/bin:/bin"});
  const std::string number = std::to_string(pid);
  EXPECT_EQ(ReadAll(out_), number + "\n/usr\n" + number + ' ' + number + '\n');
  ExpectExit(0);
}

TEST_F(WaitingRoomTest, FailedExecOfTheApprovedCommandIsTold) {
  Start();
  GiveChannel();
  Execute("/nonexistent", {"x"}, {});
  EXPECT_THAT(ReadAll(error_), StartsWith("cellrun: the approved command could not be executed: "));
  ExpectExit(126);
}

TEST_F(WaitingRoomTest, SignalMaskAndDispositionsReachTheCommandUnchanged) {
  Start([] {
    sigset_t set;
    sigfillset(&set);
    CHECK(sigprocmask(SIG_SETMASK, &set, nullptr) == 0);
    CHECK(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
  });
  GiveChannel();
  Execute("/bin/cat", {"cat", "/proc/self/status"}, {});
  const std::string status = ReadAll(out_);
  EXPECT_THAT(status, HasSubstr("SigBlk:\tfffffffe7ffbfeff\n"));
  EXPECT_THAT(status, HasSubstr("SigIgn:\t0000000000000200\n"));
  ExpectExit(0);
}

TEST_F(WaitingRoomTest, ClosedStreamsAreClosedForTheCommandToo) {
  Start([] {
    close(0);
    close(2);
  });
  GiveChannel();
  Execute(InsidePath(), {"inside", "fds"}, {});
  EXPECT_EQ(ReadAll(out_), "1\n");
  ExpectExit(0);
}

TEST_F(WaitingRoomTest, AllStreamsClosedStillGivesTheStatus) {
  Start([] {
    for (int fd = 0; fd < 3; fd++) close(fd);
  });
  GiveChannel();
  Explain(126, "nobody hears this\n");
  ExpectExit(126);
}

TEST_F(WaitingRoomTest, UsedUpSoftFileLimitIsRaisedAndPutBack) {
  Start([] {
    const rlimit limit{.rlim_cur = 4, .rlim_max = 64};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  });
  GiveChannel();
  Execute("/bin/sh", {"sh", "-c", "ulimit -Sn; ulimit -Hn"}, {});
  EXPECT_EQ(ReadAll(out_), "4\n64\n");
  ExpectExit(0);
}

TEST_F(WaitingRoomTest, HardFileLimitThatIsTooLowIsADenial) {
  Start([] {
    const rlimit limit{.rlim_cur = 3, .rlim_max = 3};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  });
  const seccomp_notif call = ReceiveCall();
  auto sockets = sys::SocketPair(SOCK_SEQPACKET);
  ASSERT_TRUE(sockets.ok());
  const auto number = sys::SeccompReplyFd(listener_, call.id, sockets->second);
  ASSERT_FALSE(number.ok());
  EXPECT_EQ(number.error().code(), EMFILE);
  EXPECT_TRUE(sys::SeccompReplyError(listener_, call.id, EMFILE).ok());
  ExpectDenied("cannot be reached");
}

TEST_F(WaitingRoomTest, OneFreeDescriptorIsEnoughForAnExplanation) {
  Start([] {
    const rlimit limit{.rlim_cur = 4, .rlim_max = 4};
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  });
  GiveChannel();
  Explain(126, "no\n");
  ExpectDenied("no\n");
}

TEST_F(WaitingRoomTest, RunsOnATinyStack) {
  Start([] {
    const rlimit limit{.rlim_cur = 16 * 1024, .rlim_max = RLIM_INFINITY};
    CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
  });
  GiveChannel();
  Explain(126, "small\n");
  ExpectDenied("small\n");
}

TEST_F(WaitingRoomTest, NonBlockingFullStderrLosesNothing) {
  Start([] { CHECK(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK) == 0); });
  // The smallest pipe there is, nearly full.
  ASSERT_GE(fcntl(error_.get(), F_SETPIPE_SZ, 4096), 4096);
  GiveChannel();
  std::string text(wire::kMaxShimText, 'x');
  text.back() = '\n';
  Explain(126, text);
  EXPECT_EQ(ReadAll(error_), text);
  ExpectExit(126);
}

TEST_F(WaitingRoomTest, ReaderThatHasGoneDoesNotChangeTheStatus) {
  Start();
  error_.Reset();
  GiveChannel();
  Explain(126, "nobody hears this\n");
  ExpectExit(126);
}

TEST_F(WaitingRoomTest, WaitsForTheAnswerAndCanBeInterrupted) {
  Start();
  GiveChannel();
  kill(pid_, SIGSTOP);
  kill(pid_, SIGCONT);
  kill(pid_, SIGINT);
  const int status = Wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
}

// ---- What it costs.

TEST_F(WaitingRoomTest, AllocatesNothing) {
  for (const int number : {SYS_brk, SYS_mmap}) {
    Start([number] { StackFilter(number, SECCOMP_RET_KILL_PROCESS); });
    GiveChannel();
    Explain(5, "lean\n");
    EXPECT_EQ(ReadAll(error_), "lean\n");
    ExpectExit(5);
  }
}

TEST_F(WaitingRoomTest, IsSmallAndStatic) {
  struct stat facts {};
  ASSERT_EQ(stat(ShimPath().c_str(), &facts), 0);
  EXPECT_LT(facts.st_size, 100 * 1024);
  RecordProperty("bytes", static_cast<int>(facts.st_size));
  auto fd = sys::OpenAt(AT_FDCWD, ShimPath().c_str(), O_RDONLY);
  ASSERT_TRUE(fd.ok());
  const auto image = sys::ReadWholeFile(*fd, 1 << 20);
  ASSERT_TRUE(image.ok());
  EXPECT_EQ(image->find("ld-musl"), std::string::npos);
}

TEST_F(WaitingRoomTest, StartsAndEndsInAMoment) {
  constexpr int kRuns = 50;
  posix_spawn_file_actions_t actions;
  ASSERT_EQ(posix_spawn_file_actions_init(&actions), 0);
  ASSERT_EQ(posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_RDWR, 0), 0);
  char* const arguments[] = {const_cast<char*>("shim"), nullptr};
  const auto before = std::chrono::steady_clock::now();
  for (int i = 0; i < kRuns; i++) {
    pid_t child = 0;
    ASSERT_EQ(posix_spawn(&child, CELLRUN_TEST_SHIM, &actions, nullptr, arguments, arguments + 1),
              0);
    ASSERT_EQ(waitpid(child, nullptr, 0), child);
  }
  posix_spawn_file_actions_destroy(&actions);
  const auto each = std::chrono::duration_cast<std::chrono::microseconds>(
                        std::chrono::steady_clock::now() - before) /
                    kRuns;
  std::cout << "start to end: " << each.count() << " us\n";
  RecordProperty("start_us", static_cast<int>(each.count()));
  EXPECT_LT(each, std::chrono::milliseconds(20)) << "a loaded machine; alone it is below 1 ms";
}

}  // namespace
}  // namespace cellrun::shim
