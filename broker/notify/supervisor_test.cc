// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/supervisor.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "broker/exec/judged_cell.h"
#include "lib/sys/file.h"
#include "lib/wire/control.h"

namespace cellrun::notify {
namespace {

using exec::JudgedCell;
using testing::HasSubstr;

// 0 or the errno of connecting a socket of this type there.
int Connect(const char* address, std::uint16_t port, int type = SOCK_STREAM) {
  const UniqueFd socket_fd(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  inet_pton(AF_INET, address, &to.sin_addr);
  const auto* raw = reinterpret_cast<const sockaddr*>(&to);
  return connect(socket_fd.get(), raw, sizeof to) == 0 ? 0 : errno;
}
int Connect6(const char* address, std::uint16_t port) {
  const UniqueFd socket_fd(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(port);
  inet_pton(AF_INET6, address, &to.sin6_addr);
  const auto* raw = reinterpret_cast<const sockaddr*>(&to);
  return connect(socket_fd.get(), raw, sizeof to) == 0 ? 0 : errno;
}

TEST(SupervisorTest, ConnectionsOutOfTheCellAreRefusedAndRecorded) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    if (Connect("192.0.2.1", 443) != EACCES) return 1;
    if (Connect("192.0.2.1", 53, SOCK_DGRAM) != EACCES) return 2;
    return Connect6("2001:db8::1", 443) == EACCES ? 0 : 3;
  }),
            0);
  const auto records = cell.journal.records();
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(records[0].kind, journal::Kind::kConnect);
  EXPECT_EQ(records[0].to, "192.0.2.1");
  EXPECT_EQ(records[0].port, 443);
  EXPECT_EQ(records[2].to, "2001:db8::1");
  EXPECT_EQ(cell.denials.size(), 3U);
  EXPECT_THAT(cell.denials[0], HasSubstr("192.0.2.1"));
}

TEST(SupervisorTest, ConnectionsInsideTheCellAreTheKernels) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    // Loopback is down in this cell; that the answer is the kernel's is what counts.
    if (Connect("127.0.0.1", 1) == EACCES) return 1;
    if (Connect("127.8.9.1", 1) == EACCES) return 2;
    if (Connect6("::1", 1) == EACCES) return 3;
    if (Connect6("::ffff:127.0.0.1", 1) == EACCES) return 4;
    if (Connect("192.0.2.1", 0, SOCK_DGRAM) != ENETUNREACH) return 5;  // a route probe
    const UniqueFd local(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un nobody{AF_UNIX, "none"};
    const auto* raw = reinterpret_cast<const sockaddr*>(&nobody);
    return connect(local.get(), raw, sizeof nobody) != 0 && errno == ENOENT ? 0 : 6;
  }),
            0);
  EXPECT_TRUE(cell.journal.records().empty());
}

TEST(SupervisorTest, BadAddressesGetTheKernelsErrors) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    const auto raw = [](std::uint64_t address, std::uint64_t bytes) {
      return syscall(SYS_connect, 0, address, bytes) == 0 ? 0 : errno;
    };
    if (raw(16, 16) != EFAULT) return 1;
    if (raw(16, 0) != EINVAL) return 2;
    if (raw(16, 1000) != EINVAL) return 3;
    return raw(16, static_cast<std::uint64_t>(-1)) == EINVAL ? 0 : 4;
  }),
            0);
}

TEST(SupervisorTest, TheChannelIsOnlyForTicketHolders) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    return syscall(SYS_connect, wire::kChannelFd, wire::kChannelMagic, 0) == 0 ? 0 : errno;
  }),
            EBADF);
}

TEST(SupervisorTest, RefusedConnectionsInALoopAreCounted) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    for (int i = 0; i < 500; ++i) (void)Connect("192.0.2.1", 443);
    return 0;
  }),
            0);
  std::uint64_t counted = 0;
  for (const journal::Record& record : cell.journal.records()) counted += record.count;
  EXPECT_EQ(counted, 500U);
  EXPECT_LE(cell.journal.records().size(), 10U);
  EXPECT_EQ(cell.counters.denied, 500U);
}

TEST(SupervisorTest, BlockedCallsAreNamedAndCounted) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    for (int i = 0; i < 100; ++i) {
      if (unshare(CLONE_NEWUSER) == 0 || errno != EPERM) return 1;
    }
    return syscall(SYS_ptrace, 0, 0, 0, 0) == -1 && errno == EPERM ? 0 : 2;
  }),
            0);
  std::uint64_t unshares = 0, traces = 0;
  for (const journal::Record& record : cell.journal.records()) {
    EXPECT_EQ(record.kind, journal::Kind::kSyscall);
    if (record.name == "unshare") unshares += record.count;
    if (record.name == "ptrace") traces += record.count;
  }
  EXPECT_EQ(unshares, 100U);
  EXPECT_EQ(traces, 1U);
  EXPECT_EQ(cell.counters.syscalls, 101U);
}

TEST(SupervisorTest, WhatIsNoListenerIsRefused) {
  exec::FakeJournal journal;
  CellFacts facts;
  facts.policy = std::make_shared<exec::FakePolicy>(nullptr);
  facts.journal = &journal;
  facts.init_pid = getpid();
  const auto started = Supervisor::Start(UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC)),
                                         std::move(facts), [](const std::optional<Error>&) {});
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code(), ENOTTY);
}

TEST(SupervisorTest, TheEndOfTheCellIsReportedOnce) {
  JudgedCell cell;
  std::atomic<int> ended{0};
  cell.on_end = [&](const std::optional<Error>& broken) {
    EXPECT_FALSE(broken.has_value());
    ++ended;
  };
  EXPECT_EQ(cell.Run([] { return exec::Spawn({"/usr/bin/true"}); }), 0);
  for (int i = 0; i < 2000 && ended == 0; ++i) usleep(1000);
  cell.Finish();
  EXPECT_EQ(ended, 1);
}

TEST(SupervisorTest, AReplacedPolicyCountsFromThenOn) {
  JudgedCell cell;
  cell.outside = [&](Supervisor& supervisor, pid_t) {
    while (supervisor.counters().allowed == 0) usleep(500);
    supervisor.ReplacePolicy(
        std::make_shared<exec::FakePolicy>([](const auto&) { return exec::Deny(EPERM); }));
  };
  EXPECT_EQ(cell.Run([] {
    if (exec::Spawn({"/usr/bin/true"}) != 0) return 1;
    for (int i = 0; i < 2000; ++i) {
      if (exec::ExecErrno({"/usr/bin/true"}) == EPERM) return 0;
      usleep(1000);
    }
    return 2;
  }),
            0);
}

TEST(SupervisorTest, DestroyingItEndsWhatIsAttached) {
  JudgedCell cell;
  // The supervisor is destroyed while execs are in flight: from then on they fail, nothing hangs.
  cell.stop_early = true;
  cell.outside = [](Supervisor& supervisor, pid_t) {
    while (supervisor.counters().allowed < 50) usleep(500);
  };
  EXPECT_EQ(cell.Run([] {
    std::atomic<bool> over{false};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([&] {
        while (!over) {
          if (exec::SpawnShared({"/usr/bin/true"}) == -ENOSYS) over = true;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return 0;
  }),
            0)
      << cell.output;
}

TEST(SupervisorTest, DenialsReachTheFileOfTheCell) {
  const UniqueFd file(memfd_create("denials", MFD_CLOEXEC));
  JudgedCell cell;
  cell.decide = exec::DenyNamed("/true", EPERM);
  cell.denial_file = sys::Duplicate(file).value();
  EXPECT_EQ(cell.Run([] { return exec::ExecErrno({"/usr/bin/true"}); }), EPERM);
  std::array<char, 4096> text{};
  const std::size_t bytes = sys::Pread(file, text, 0).value();
  ASSERT_EQ(cell.denials.size(), 1U);
  EXPECT_EQ(std::string(text.data(), bytes), cell.denials[0] + "\n");
}

}  // namespace
}  // namespace cellrun::notify
