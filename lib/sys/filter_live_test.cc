// SPDX-License-Identifier: Apache-2.0
// The program in the kernel.
#include <asm/ioctls.h>
#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <iostream>
#include <set>

#include "lib/base/unique_fd.h"
#include "lib/sys/filter.h"
#include "lib/sys/process.h"
#include "lib/sys/seccomp.h"
#include "tests/support/required.h"

namespace cellrun::sys {
namespace {

constexpr std::size_t kMaxResults = 32;

// Written by the processes of a case, read by the test.
struct Report {
  std::array<int, kMaxResults> errors{};    // 0 or an errno, in the order of the calls
  std::array<int, kMaxResults> notified{};  // numbers, in the order of arrival
  std::size_t notified_count = 0;
  std::int64_t install_us = 0;
  int status = -1;  // of the process that made the calls
};

class FilterLiveTest : public testing::Test {
 protected:
  void SetUp() override {
    void* memory =
        mmap(nullptr, sizeof(Report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    report_ = new (memory) Report;
  }
  void TearDown() override { munmap(report_, sizeof(Report)); }

  // A child installs the filter, a child of that runs `body`; whatever is notified is refused with
  // EACCES, which nothing in the filter answers by itself.
  template <typename Body>
  void RunFiltered(Body body) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      Supervise(body);
      _exit(0);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  }

  [[nodiscard]] std::multiset<int> Notified() const {
    return {report_->notified.begin(), report_->notified.begin() + report_->notified_count};
  }

  Report* report_ = nullptr;

 private:
  template <typename Body>
  void Supervise(Body body) {
    const UniqueFd listener = Install();
    std::array<int, 2> ends{};
    CHECK(pipe(ends.data()) == 0);
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
      body(*report_);
      _exit(0);
    }
    close(ends[1]);  // end of file when the child has ended
    std::array<pollfd, 2> wait = {pollfd{listener.get(), POLLIN, 0}, pollfd{ends[0], POLLIN, 0}};
    while (poll(wait.data(), wait.size(), -1) > 0 && wait[1].revents == 0) RefuseOne(listener);
    CHECK(waitpid(child, &report_->status, 0) == child);
  }
  UniqueFd Install() {
    std::vector<sock_filter> filter = BuildFilter({});
    const sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                             .filter = filter.data()};
    CHECK(NoNewPrivileges().ok());
    const auto before = std::chrono::steady_clock::now();
    const long fd =
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    report_->install_us = std::chrono::duration_cast<std::chrono::microseconds>(
                              std::chrono::steady_clock::now() - before)
                              .count();
    CHECK(fd >= 0);
    return UniqueFd(static_cast<int>(fd));
  }
  void RefuseOne(const UniqueFd& listener) {
    const auto notification = SeccompReceive(listener);
    CHECK(notification.ok());
    if (!notification->has_value() || report_->notified_count == kMaxResults) return;
    report_->notified[report_->notified_count++] = (*notification)->data.nr;
    CHECK(SeccompReplyError(listener, (*notification)->id, EACCES).ok());
  }
};

int ErrorOf(long result) {
  return result < 0 ? errno : 0;
}

TEST_F(FilterLiveTest, IsInstalledInAMomentAndAllowsOrdinaryWork) {
  RunFiltered([](Report& report) {
    report.errors[0] = getpid() == syscall(SYS_getpid) ? 0 : EINVAL;
    const pid_t child = fork();
    if (child == 0) _exit(7);
    int status = 0;
    waitpid(child, &status, 0);
    report.errors[1] = WEXITSTATUS(status);
  });
  EXPECT_EQ(report_->errors[0], 0);
  EXPECT_EQ(report_->errors[1], 7);
  EXPECT_EQ(report_->notified_count, 0U);
  std::cout << "installed " << BuildFilter({}).size() << " instructions in " << report_->install_us
            << " us\n";
  RecordProperty("install_us", static_cast<int>(report_->install_us));
}

TEST_F(FilterLiveTest, RefusesWithTheErrnoOfTheTable) {
  RunFiltered([](Report& report) {
    std::size_t i = 0;
    report.errors[i++] = ErrorOf(syscall(SYS_clone3, nullptr, 0));
    report.errors[i++] = ErrorOf(syscall(SYS_io_uring_setup, 1, nullptr));
    report.errors[i++] = ErrorOf(syscall(SYS_io_setup, 1, nullptr));
    report.errors[i++] = ErrorOf(syscall(100'000));
    report.errors[i++] = ErrorOf(syscall(0x40000000 | SYS_getpid));
    report.errors[i++] = ErrorOf(socket(AF_INET, SOCK_RAW, 1));
    report.errors[i++] = ErrorOf(socket(AF_VSOCK, SOCK_STREAM, 0));
    report.errors[i++] = ErrorOf(socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER));
    report.errors[i++] = ErrorOf(ioctl(0, TIOCSTI, "x"));
    report.errors[i++] = ErrorOf(syscall(SYS_ioctl, 0, TIOCSTI | (1UL << 32), "x"));
    report.errors[i++] = ErrorOf(syscall(SYS_clone, CLONE_FS | SIGCHLD, 0, 0, 0, 0));
    report.errors[i++] = ErrorOf(syscall(SYS_setpriority, 2, 0, 19));
    constexpr rlimit64 kLimit{100, 100};
    report.errors[i++] = ErrorOf(syscall(SYS_prlimit64, 1, 7, &kLimit, nullptr));
  });
  const std::array expected = {
      ENOSYS, ENOSYS, ENOSYS, ENOSYS, ENOSYS, EPROTONOSUPPORT, EAFNOSUPPORT, EPROTONOSUPPORT,
      EPERM,  EPERM,  EPERM,  EPERM,  EPERM};
  for (std::size_t i = 0; i < expected.size(); i++) {
    EXPECT_EQ(report_->errors[i], expected[i]) << "call " << i;
  }
  EXPECT_EQ(report_->notified_count, 0U);
}

TEST_F(FilterLiveTest, AsksTheListenerAboutJudgedAndBlockedCalls) {
  RunFiltered([](Report& report) {
    std::size_t i = 0;
    char* const empty[] = {nullptr};
    report.errors[i++] = ErrorOf(execve("/bin/true", empty, empty));
    report.errors[i++] = ErrorOf(syscall(SYS_execveat, -1, "/bin/true", empty, empty, 0));
    report.errors[i++] = ErrorOf(connect(-1, nullptr, 0));
    report.errors[i++] = ErrorOf(unshare(CLONE_NEWUSER));
    report.errors[i++] = ErrorOf(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
    report.errors[i++] = ErrorOf(syscall(SYS_mount, "a", "/", "tmpfs", 0, nullptr));
    report.errors[i++] = ErrorOf(syscall(SYS_ptrace, 0, 0, 0, 0));
    report.errors[i++] = ErrorOf(syscall(SYS_personality, 8));
    report.errors[i++] = ErrorOf(
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, nullptr));
    constexpr rlimit64 kLimit{100, 100};
    report.errors[i++] = ErrorOf(syscall(SYS_prlimit64, getppid(), 7, &kLimit, nullptr));
    report.errors[i++] = ErrorOf(syscall(SYS_setpriority, 0, getppid(), 19));
  });
  for (std::size_t i = 0; i < 11; i++) EXPECT_EQ(report_->errors[i], EACCES) << "call " << i;
  EXPECT_EQ(Notified(), (std::multiset<int>{SYS_execve, SYS_execveat, SYS_connect, SYS_unshare,
                                            SYS_clone, SYS_mount, SYS_ptrace, SYS_personality,
                                            SYS_seccomp, SYS_prlimit64, SYS_setpriority}));
}

// getpid of i386, from a program of x86_64.
int GetPidThroughInt80() {
  int result = 20;
  asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
  return result;
}

TEST_F(FilterLiveTest, KillsWhoeverEntersThroughInt80) {
  const pid_t unfiltered = fork();
  if (unfiltered == 0) _exit(GetPidThroughInt80() == getpid() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(unfiltered, &status, 0), unfiltered);
  REQUIRE_OR_SKIP(status == 0, "an entry for i386 in this kernel");
  RunFiltered([](Report& report) { report.errors[0] = GetPidThroughInt80(); });
  ASSERT_TRUE(WIFSIGNALED(report_->status)) << report_->status;
  EXPECT_EQ(WTERMSIG(report_->status), SIGSYS);
  EXPECT_EQ(report_->errors[0], 0);
}

}  // namespace
}  // namespace cellrun::sys
