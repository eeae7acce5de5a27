// SPDX-License-Identifier: Apache-2.0
#include "shim/wait.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/close_range.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>
#include <optional>

#include "lib/sys/file.h"
#include "lib/sys/memory.h"
#include "lib/sys/seccomp.h"
#include "lib/sys/socket.h"
#include "shim/cell_fixture.h"

namespace cellrun::shim {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

std::vector<sock_filter> AnswerOne(int number, std::uint32_t answer) {
  const auto code = [](int c) { return static_cast<std::uint16_t>(c); };
  return {
      {code(BPF_LD | BPF_W | BPF_ABS), 0, 0, offsetof(seccomp_data, nr)},
      {code(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, static_cast<std::uint32_t>(number)},
      {code(BPF_RET | BPF_K), 0, 0, answer},
      {code(BPF_RET | BPF_K), 0, 0, SECCOMP_RET_ALLOW},
  };
}

void StackFilter(int number, std::uint32_t answer) {
  std::vector<sock_filter> filter = AnswerOne(number, answer);
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                           .filter = filter.data()};
  CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
}

// The shim as a waiting room, whose connect this process answers as the broker does.
class WaitingRoomTest : public testing::Test {
 protected:
  // `prepare` runs in the process that becomes the shim; its stdout and stderr are pipes.
  void Start(const std::function<void()>& prepare = {}, int number = SYS_connect) {
    auto hand_over = sys::SocketPair(SOCK_SEQPACKET);
    ASSERT_TRUE(hand_over.ok());
    Output out = MakeOutput(), error = MakeOutput();
    pid_ = fork();
    ASSERT_GE(pid_, 0);
    if (pid_ == 0) BecomeShim(hand_over->second, out.write, error.write, prepare, number);
    out_ = std::move(out.read);
    error_ = std::move(error.read);
    hand_over->second.Reset();
    out.write.Reset();
    error.write.Reset();
    auto message = sys::ReceiveMessage(hand_over->first, 1);
    ASSERT_TRUE(message.ok());
    ASSERT_EQ(message->fds.size(), 1U);
    listener_ = std::move(message->fds[0]);
  }
  void TearDown() override {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  // The shim's first notified call.
  seccomp_notif ReceiveCall() {
    pollfd wait{.fd = listener_.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&wait, 1, 20'000), 1);
    const auto notification = sys::SeccompReceive(listener_);
    EXPECT_TRUE(notification.ok() && notification->has_value());
    return notification.ok() ? notification->value_or(seccomp_notif{}) : seccomp_notif{};
  }
  // Gives the shim its channel.
  void GiveChannel() {
    const seccomp_notif call = ReceiveCall();
    EXPECT_EQ(call.data.nr, SYS_connect);
    EXPECT_EQ(static_cast<int>(call.data.args[0]), wire::kChannelFd);
    EXPECT_EQ(call.data.args[1], wire::kChannelMagic);
    EXPECT_EQ(call.data.args[2], 0U);
    auto sockets = sys::SocketPair(SOCK_SEQPACKET);
    ASSERT_TRUE(sockets.ok());
    channel_ = std::move(sockets->first);
    const auto number = sys::SeccompAddFd(listener_, call.id, sockets->second, /*send=*/true);
    ASSERT_TRUE(number.ok()) << number.error().ToString();
    EXPECT_GT(*number, 2);
  }
  void SendMessage(wire::ShimMessage message, std::string_view payload, std::vector<int> fds = {}) {
    message.payload_bytes = static_cast<std::uint32_t>(payload.size());
    std::string bytes(reinterpret_cast<const char*>(&message), sizeof message);
    const auto sent = sys::SendMessage(channel_, bytes.append(payload), fds);
    ASSERT_TRUE(sent.ok() || sent.error().code() == EPIPE);  // it may have ended by itself
    channel_.Reset();
  }
  void Explain(int status, std::string_view text) {
    SendMessage({.order = wire::kShimExplain,
                 .status = status,
                 .argument_count = 0,
                 .environment_count = 0,
                 .block_bytes = 0,
                 .payload_bytes = 0},
                text);
  }
  void Execute(const std::string& program, const std::vector<std::string>& arguments,
               const std::vector<std::string>& environment) {
    std::string block = program + '\0';
    for (const std::string& argument : arguments) block += argument + '\0';
    for (const std::string& variable : environment) block += variable + '\0';
    const auto memory = sys::MakeSealedMemfd("approved", block);
    ASSERT_TRUE(memory.ok());
    SendMessage({.order = wire::kShimExec,
                 .status = 0,
                 .argument_count = static_cast<std::uint32_t>(arguments.size()),
                 .environment_count = static_cast<std::uint32_t>(environment.size()),
                 .block_bytes = static_cast<std::uint32_t>(block.size()),
                 .payload_bytes = 0},
                {}, {memory->get()});
  }
  // As wait(2), of whatever the process has become.
  int Wait() {
    int status = -1;
    EXPECT_EQ(waitpid(pid_, &status, 0), pid_);
    pid_ = 0;
    return status;
  }
  void ExpectExit(int status) {
    const int ended = Wait();
    EXPECT_TRUE(WIFEXITED(ended)) << ended;
    EXPECT_EQ(WEXITSTATUS(ended), status);
  }
  void ExpectDenied(std::string_view why) {
    EXPECT_THAT(ReadAll(error_), HasSubstr(std::string(why)));
    ExpectExit(126);
  }

  UniqueFd out_, error_, listener_, channel_;
  pid_t pid_ = 0;

 private:
  [[noreturn]] static void BecomeShim(const UniqueFd& hand_over, const UniqueFd& out,
                                      const UniqueFd& error, const std::function<void()>& prepare,
                                      int number) {
    CHECK(sys::NoNewPrivileges().ok());
    const UniqueFd listener(
        sys::SeccompNewListener(AnswerOne(number, SECCOMP_RET_USER_NOTIF), 0).value());
    const int fd = listener.get();
    CHECK(sys::SendMessage(hand_over, "l", {&fd, 1}).ok());
    CHECK(dup2(out.get(), STDOUT_FILENO) >= 0 && dup2(error.get(), STDERR_FILENO) >= 0);
    // What the test's own caller left open is not the shim's affair.
    CHECK(syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC) == 0);
    if (prepare) prepare();
    // What the caller's arguments and environment say must not matter.
    const std::string shim = ShimPath();
    char* const arguments[] = {const_cast<char*>("init"), const_cast<char*>("--help"), nullptr};
    char* const environment[] = {const_cast<char*>("LD_PRELOAD=/x"), nullptr};
    execve(shim.c_str(), arguments, environment);
    _exit(99);
  }
};

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
  const auto number = sys::SeccompAddFd(listener_, call.id, sockets->second, /*send=*/true);
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

// ---- No answer, or one that is wrong.

TEST_F(WaitingRoomTest, NoFilterMeansDenied) {
  const pid_t child = fork();
  if (child == 0) {
    execl(ShimPath().c_str(), "shim", nullptr);
    _exit(99);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 126);
}

TEST_F(WaitingRoomTest, SuccessWithoutADescriptorIsNoAnswer) {
  for (const std::int64_t value : {0, 1, 2}) {
    Start();
    EXPECT_TRUE(sys::SeccompReplyValue(listener_, ReceiveCall().id, value).ok());
    ExpectDenied("cannot be reached");
  }
}

TEST_F(WaitingRoomTest, LostListenerMeansDenied) {
  Start();
  listener_.Reset();
  ExpectDenied("cannot be reached");
}

TEST_F(WaitingRoomTest, EndOfFileMeansDenied) {
  Start();
  GiveChannel();
  channel_.Reset();
  ExpectDenied("gave no answer");
}

TEST_F(WaitingRoomTest, NumberThatIsNoDescriptorMeansDenied) {
  Start();
  EXPECT_TRUE(sys::SeccompReplyValue(listener_, ReceiveCall().id, 1000).ok());
  ExpectDenied("gave no answer");
}

TEST_F(WaitingRoomTest, GarbageMeansDenied) {
  const auto bytes = [](wire::ShimMessage message) {
    return std::string(reinterpret_cast<const char*>(&message), sizeof message);
  };
  const std::string cases[] = {
      "x",
      std::string(23, '\0'),
      std::string(24, '\0'),
      std::string(24, '\xff'),
      std::string(sizeof(wire::ShimMessage) + wire::kMaxShimText + 1, '\1'),
      bytes({wire::kShimExplain, 0, 0, 0, 0, 5}),
      bytes({wire::kShimExplain, 0, 0, 0, 0, 0}) + "tail",
      bytes({wire::kShimExec, 0, 1, 0, 5, 0}),
      bytes({77, 0, 0, 0, 0, 0}),
  };
  for (const std::string& c : cases) {
    Start();
    GiveChannel();
    ASSERT_TRUE(sys::SendMessage(channel_, c, {}).ok());
    channel_.Reset();
    ExpectDenied("cellrun: ");
  }
}

TEST_F(WaitingRoomTest, CommandThatDoesNotFitItsCountsIsNotExecuted) {
  const wire::ShimMessage cases[] = {
      {wire::kShimExec, 0, 2, 0, 15, 0}, {wire::kShimExec, 0, 1, 1, 15, 0},
      {wire::kShimExec, 0, 0, 1, 15, 0}, {wire::kShimExec, 0, 1, 0, 14, 0},
      {wire::kShimExec, 0, 1, 0, 16, 0}, {wire::kShimExec, 0, 0xffffffff, 0xffffffff, 15, 0}};
  for (const wire::ShimMessage& message : cases) {
    Start();
    GiveChannel();
    const auto memory = sys::MakeSealedMemfd("approved", std::string_view("/bin/echo\0echo\0", 15));
    ASSERT_TRUE(memory.ok());
    SendMessage(message, {}, {memory->get()});
    ExpectDenied("could not be read");
    EXPECT_EQ(ReadAll(out_), "");
  }
}

// ---- What a filter stacked by the cell can make a call say.

TEST_F(WaitingRoomTest, LiesOfAStackedFilterEndInADenialOrATrap) {
  constexpr std::uint32_t kSuccess = SECCOMP_RET_ERRNO;  // 0, and nothing was done
  for (const int number : {SYS_recvmsg, SYS_mmap, SYS_fstat, SYS_newfstatat, SYS_fcntl,
                           SYS_prlimit64, SYS_open, SYS_close, SYS_munmap}) {
    Start([number] { StackFilter(number, kSuccess); });
    GiveChannel();
    Execute("/bin/false", {"false"}, {});
    const int status = Wait();
    EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) != 0) << number;
  }
}

TEST_F(WaitingRoomTest, TrapsWhereExitDoesNotExit) {
  Start([] { StackFilter(SYS_exit_group, SECCOMP_RET_ERRNO); });
  GiveChannel();
  Explain(0, "denied\n");
  EXPECT_EQ(ReadAll(error_), "denied\n");
  const int status = Wait();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGILL) << status;
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
