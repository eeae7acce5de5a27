// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/seccomp.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <new>
#include <optional>
#include <utility>

#include "lib/sys/process.h"
#include "lib/sys/socket.h"
#include "lib/sys/thread.h"

namespace cellrun::sys {
namespace {

constexpr int kCalls = 200;
constexpr int kCallsUntilInterrupted = 5000;

void StayOnFirstProcessor() {
  cpu_set_t allowed;
  CHECK(sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  std::size_t first = 0;
  while (!CPU_ISSET(first, &allowed)) ++first;
  CPU_ZERO(&allowed);
  CPU_SET(first, &allowed);
  CHECK(sched_setaffinity(0, sizeof allowed, &allowed) == 0);
}

std::array<sock_filter, 4> NotifyOf(int number) {
  const auto code = [](int c) { return static_cast<std::uint16_t>(c); };
  return {{{code(BPF_LD | BPF_W | BPF_ABS), 0, 0, offsetof(seccomp_data, nr)},
           {code(BPF_JMP | BPF_JEQ | BPF_K), 0, 1, static_cast<std::uint32_t>(number)},
           {code(BPF_RET | BPF_K), 0, 0, SECCOMP_RET_USER_NOTIF},
           {code(BPF_RET | BPF_K), 0, 0, SECCOMP_RET_ALLOW}}};
}

// Keeps the first processor busy, for everybody who is nicer.
[[noreturn]] void Spin() {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  StayOnFirstProcessor();
  volatile unsigned turn = 0;
  while (turn != 1) turn = 0;
  _exit(0);
}

// Counts how many of its calls returned something else than a descriptor that it has then.
[[noreturn]] void CallForever(const UniqueFd& hand_over, std::atomic<int>& wrong) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  CHECK(NoNewPrivileges().ok());
  const UniqueFd listener(SeccompNewListener(NotifyOf(SYS_getpgid), 0).value());
  const int fd = listener.get();
  CHECK(SendMessage(hand_over, "l", {&fd, 1}).ok());
  StayOnFirstProcessor();
  CHECK(nice(19) == 19);
  while (true) {
    const auto number = static_cast<int>(syscall(SYS_getpgid, 0));
    if (number <= STDERR_FILENO || fcntl(number, F_GETFD) != FD_CLOEXEC) ++wrong;
    if (number > STDERR_FILENO) close(number);
  }
}

class SeccompTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(InstallWakeSignal().ok());
    void* const memory = mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    wrong_ = new (memory) std::atomic<int>(0);
    auto ticker = ThreadTicker::Make();
    ASSERT_TRUE(ticker.ok());
    ticker_.emplace(std::move(ticker).value());
    spinner_ = fork();
    if (spinner_ == 0) Spin();
    auto hand_over = SocketPair(SOCK_SEQPACKET);
    ASSERT_TRUE(hand_over.ok());
    caller_ = fork();
    if (caller_ == 0) CallForever(hand_over->second, *wrong_);
    hand_over->second.Reset();
    auto message = ReceiveMessage(hand_over->first, 1);
    ASSERT_TRUE(message.ok() && message->fds.size() == 1);
    listener_ = std::move(message->fds[0]);
  }
  void TearDown() override {
    for (const pid_t pid : {spinner_, caller_}) {
      if (pid <= 0) continue;
      kill(pid, SIGKILL);
      waitpid(pid, nullptr, 0);
    }
    if (wrong_ != nullptr) munmap(wrong_, sizeof *wrong_);
  }
  seccomp_notif Receive() {
    while (true) {
      const auto notification = SeccompReceive(listener_);
      EXPECT_TRUE(notification.ok());
      if (!notification.ok() || notification->has_value())
        return notification.ok() ? **notification : seccomp_notif{};
    }
  }
  // Of the calls before the one that is received now.
  int WrongAnswers() {
    (void)Receive();
    return *wrong_;
  }

  pid_t spinner_ = 0, caller_ = 0;
  std::atomic<int>* wrong_ = nullptr;
  std::optional<ThreadTicker> ticker_;
  UniqueFd listener_;
};

// The kernel's own behaviour: where this fails, SeccompReplyFd may take signals again.
TEST_F(SeccompTest, ASignalTakesBackADescriptorButNotThatTheCallIsAnswered) {
  bool taken_back = false;
  for (int i = 0; !taken_back && i < kCallsUntilInterrupted; ++i) {
    const seccomp_notif call = Receive();
    seccomp_notif_addfd request{.id = call.id,
                                .flags = SECCOMP_ADDFD_FLAG_SEND,
                                .srcfd = STDIN_FILENO,
                                .newfd = 0,
                                .newfd_flags = O_CLOEXEC};
    ticker_->Arm(std::chrono::microseconds(50));
    taken_back = ioctl(listener_.get(), SECCOMP_IOCTL_NOTIF_ADDFD, &request) < 0 && errno == EINTR;
    ticker_->Disarm();
  }
  EXPECT_TRUE(taken_back) << "the caller always came first";
  EXPECT_EQ(WrongAnswers(), 1);
}

TEST_F(SeccompTest, ACallThatIsAnsweredWithADescriptorGetsItWhateverSignalsCome) {
  const UniqueFd given(open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < kCalls; ++i) {
    const seccomp_notif call = Receive();
    ticker_->Arm(std::chrono::microseconds(50));
    const Result<int> number = SeccompReplyFd(listener_, call.id, given);
    ticker_->Disarm();
    EXPECT_TRUE(number.ok()) << number.error().ToString();
  }
  EXPECT_EQ(WrongAnswers(), 0);
}

TEST_F(SeccompTest, ADescriptorThatIsAddedFirstArrivesWhateverSignalsCome) {
  const UniqueFd given(open("/dev/null", O_RDONLY | O_CLOEXEC));
  for (int i = 0; i < kCalls; ++i) {
    const seccomp_notif call = Receive();
    ticker_->Arm(std::chrono::microseconds(50));
    const Result<int> number = SeccompAddFd(listener_, call.id, given);
    ticker_->Disarm();
    ASSERT_TRUE(number.ok()) << number.error().ToString();
    EXPECT_TRUE(SeccompReplyValue(listener_, call.id, *number).ok());
  }
  EXPECT_EQ(WrongAnswers(), 0);
}

}  // namespace
}  // namespace cellrun::sys
