// SPDX-License-Identifier: Apache-2.0
#include "launcher/terminal/streams.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>

namespace cellrun::terminal {
namespace {

constexpr int kClosed = -1;

// What ConnectStreams makes of these three descriptors, one letter a stream: n(ull), t(erminal),
// d(irect), r(elayed), j(oined with stdout). In a child, since the descriptors are the process's
// own.
std::string Connect(std::array<int, 3> fds, PtyChoice choice = PtyChoice::kAuto) {
  std::array<int, 2> answer{};
  EXPECT_EQ(pipe2(answer.data(), O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    constexpr int kSafe = 100;
    const int report = fcntl(answer[1], F_DUPFD, kSafe);
    std::array<int, 3> copies{};
    for (std::size_t i = 0; i < 3; ++i)
      copies.at(i) = fds.at(i) == kClosed ? kClosed : fcntl(fds.at(i), F_DUPFD, kSafe);
    for (int number = 0; number < 3; ++number) {
      const int copy = copies.at(static_cast<std::size_t>(number));
      (void)(copy == kClosed ? close(number) : dup2(copy, number));
    }
    std::string text;
    const Result<std::array<bool, 3>> closed = FillStandardStreams();
    const Result<Streams> streams = closed.ok() ? ConnectStreams(choice, *closed) : closed.error();
    for (std::size_t i = 0; streams.ok() && i < 3; ++i) {
      const bool joined = i == 2 && streams->stderr_joins_stdout;
      text += streams->kinds.at(i) == wire::Stream::kNull       ? 'n'
              : streams->kinds.at(i) == wire::Stream::kTerminal ? 't'
              : joined                                          ? 'j'
              : streams->ours.at(i).valid()                     ? 'r'
                                                                : 'd';
    }
    for (int number = 0; number < 3; ++number) text += fcntl(number, F_GETFD) >= 0 ? "" : "!";
    (void)!write(report, text.data(), text.size());
    _exit(0);
  }
  close(answer[1]);
  std::array<char, 16> text{};
  const ssize_t got = read(answer[0], text.data(), text.size());
  close(answer[0]);
  waitpid(child, nullptr, 0);
  return {text.data(), static_cast<std::size_t>(got > 0 ? got : 0)};
}

TEST(StreamsTest, NullAndClosedStreamsAreTheCellsOwnNull) {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  EXPECT_EQ(Connect({null, null, null}), "nnn");
  EXPECT_EQ(Connect({kClosed, kClosed, kClosed}), "nnn");
  close(null);
}

TEST(StreamsTest, OnlyAnonymousPipesGoInDirectly) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(pipe2(pipe.data(), O_CLOEXEC), 0);
  std::array<int, 2> sockets{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets.data()), 0);
  char name[] = "/tmp/cellrun-streams-test-XXXXXX";
  const int file = mkostemp(&name[0], O_CLOEXEC);
  ASSERT_GE(file, 0);
  const std::string fifo_name = std::string(&name[0]) + ".fifo";
  ASSERT_EQ(mkfifo(fifo_name.c_str(), 0600), 0);
  const int fifo = open(fifo_name.c_str(), O_RDWR | O_CLOEXEC);
  const int zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
  EXPECT_EQ(Connect({pipe[0], pipe[1], pipe[1]}), "ddd");
  EXPECT_EQ(Connect({sockets[0], sockets[1], kClosed}), "rrn");
  EXPECT_EQ(Connect({file, pipe[1], fifo}), "rdr");
  EXPECT_EQ(Connect({zero, fifo, pipe[1]}), "rrd");
  unlink(&name[0]);
  unlink(fifo_name.c_str());
  for (const int fd : {pipe[0], pipe[1], sockets[0], sockets[1], file, fifo, zero}) close(fd);
}

TEST(StreamsTest, OneFileForBothOutputsKeepsTheirOrder) {
  char name[] = "/tmp/cellrun-streams-test-XXXXXX";
  const int file = mkostemp(&name[0], O_CLOEXEC);
  const int again = open(&name[0], O_RDWR | O_APPEND | O_CLOEXEC);
  ASSERT_GE(again, 0);
  EXPECT_EQ(Connect({kClosed, file, file}), "nrj");
  EXPECT_EQ(Connect({kClosed, file, again}), "nrr") << "opened twice: two positions";
  unlink(&name[0]);
  close(file);
  close(again);
}

TEST(StreamsTest, ATerminalIsAskedFor) {
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  std::array<int, 2> pipe{};
  ASSERT_EQ(pipe2(pipe.data(), O_CLOEXEC), 0);
  EXPECT_EQ(Connect({null, pipe[1], pipe[1]}, PtyChoice::kYes), "ttt") << "2>&1 stays together";
  EXPECT_EQ(Connect({null, pipe[1], null}, PtyChoice::kYes), "ttn");
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_EQ(grantpt(master), 0);
  ASSERT_EQ(unlockpt(master), 0);
  char slave_name[64];
  ASSERT_EQ(ptsname_r(master, &slave_name[0], sizeof slave_name), 0);
  const int slave = open(&slave_name[0], O_RDWR | O_NOCTTY | O_CLOEXEC);
  EXPECT_EQ(Connect({slave, slave, slave}), "ttt");
  EXPECT_EQ(Connect({slave, pipe[1], slave}), "rdr");
  EXPECT_EQ(Connect({slave, slave, slave}, PtyChoice::kNo), "rrj");
  for (const int fd : {null, pipe[0], pipe[1], master, slave}) close(fd);
}

}  // namespace
}  // namespace cellrun::terminal
