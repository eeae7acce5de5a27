// SPDX-License-Identifier: Apache-2.0
// Pipes and files: nothing lost, nothing changed, ends passed on.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;

constexpr long long kHundredMegabytes = 100'000'000;

// The bytes that `probe flood` writes.
std::string Sequence(long long size) {
  std::string bytes(static_cast<std::size_t>(size), '\0');
  std::uint32_t state = 1;
  for (auto& byte : bytes) {
    state = state * 1664525 + 1013904223;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

class StreamsTest : public Sandbox {
 protected:
  Options Open() { return {.profile = OpenProfile(), .flags = ProbeFlags()}; }
};

TEST_F(StreamsTest, AHundredMegabytesComeOutUnchanged) {
  const Outcome outcome = Run({Probe(), "flood", std::to_string(kHundredMegabytes)}, Open());
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(outcome.out == Sequence(kHundredMegabytes)) << outcome.out.size() << " bytes came";
}

TEST_F(StreamsTest, AHundredMegabytesGoInAndBackUnchanged) {
  Options options = Open();
  options.input = Sequence(kHundredMegabytes);
  const Outcome outcome = Run({"cat"}, options);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_TRUE(outcome.out == options.input) << outcome.out.size() << " bytes came";
}

TEST_F(StreamsTest, EveryByteValuePasses) {
  Options options = Open();
  for (int byte = 0; byte < 256; ++byte) options.input.push_back(static_cast<char>(byte));
  EXPECT_EQ(Run({"cat"}, options).out, options.input);
}

TEST_F(StreamsTest, StandardErrorStaysApart) {
  const Outcome outcome = Shell("echo out; echo err >&2; echo out", Open());
  EXPECT_EQ(outcome.out, "out\nout\n");
  EXPECT_EQ(outcome.err, "err\n");
}

TEST_F(StreamsTest, EndOfInputPassesWhileOutputGoesOn) {
  Options options = Open();
  options.hold_input = true;
  Process process = Start(
      {"bash", "-c", "cat >/dev/null; echo end of input; cat </dev/null; echo more"}, options);
  process.Write("something");
  process.CloseInput();
  const Outcome outcome = process.Wait();
  EXPECT_EQ(outcome.out, "end of input\nmore\n") << outcome;
}

TEST_F(StreamsTest, EndOfOutputPassesWhileTheCommandRuns) {
  // The reader sees the end of file although the command is alive: it waits for the file.
  int pipe_fds[2] = {-1, -1};
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  Options options = Open();
  options.stdout_fd = pipe_fds[1];
  Process process = Start({Probe(), "close-output", Work("go")}, options);
  close(pipe_fds[1]);
  pollfd polled = {pipe_fds[0], POLLIN, 0};
  ASSERT_EQ(poll(&polled, 1, 10000), 1) << "no end of file within 10 s";
  char byte = 0;
  EXPECT_EQ(read(pipe_fds[0], &byte, 1), 0);
  close(pipe_fds[0]);
  Write(Work("go"), "");
  const Outcome outcome = process.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.err, "after\n");
}

TEST_F(StreamsTest, AReaderThatLeavesEndsTheWriter) {
  Options options = Open();
  Command command = CellrunCommand({}, options);
  const Words run = RunArguments({"yes"}, options);
  std::string line = Prefix() + "/bin/cellrun";
  for (const auto& word : run) line += " '" + word + "'";
  command.argv = {"bash", "-c", line + " | head -1; echo ${PIPESTATUS[0]}"};
  command.time_limit = std::chrono::seconds(20);
  const Outcome outcome = RunCommand(std::move(command));
  EXPECT_EQ(outcome.out, "y\n141\n") << outcome;
}

TEST_F(StreamsTest, FilesServeAsStreams) {
  const std::string content = Sequence(1'000'000);
  const std::string in = Write(Path("in"), content);
  const int input = open(in.c_str(), O_RDONLY | O_CLOEXEC);
  const int output = open(Path("out").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  Options options = Open();
  options.stdin_fd = input;
  options.stdout_fd = output;
  EXPECT_EQ(Run({"cat"}, options).status, 0);
  close(input);
  close(output);
  EXPECT_TRUE(Read(Path("out")) == content);
}

TEST_F(StreamsTest, AppendingStaysAppending) {
  Write(Path("log"), "before\n");
  const int output = open(Path("log").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  Options options = Open();
  options.stdout_fd = output;
  EXPECT_EQ(Run({"echo", "after"}, options).status, 0);
  close(output);
  EXPECT_EQ(Read(Path("log")), "before\nafter\n");
}

TEST_F(StreamsTest, OutputPendingAtTheExitArrives) {
  // The command fills every buffer on the way and ends while nobody has read yet.
  int pipe_fds[2] = {-1, -1};
  ASSERT_EQ(pipe2(pipe_fds, O_CLOEXEC), 0);
  Options options = Open();
  options.stdout_fd = pipe_fds[1];
  Process process = Start({"bash", "-c", "head -c 60000 /dev/zero; exit 4"}, options);
  close(pipe_fds[1]);
  const Outcome outcome = process.Wait();
  EXPECT_EQ(outcome.status, 4) << outcome;
  std::string received(70000, 'x');
  std::size_t total = 0;
  for (ssize_t count = 0; (count = read(pipe_fds[0], received.data(), received.size())) > 0;) {
    total += static_cast<std::size_t>(count);
  }
  close(pipe_fds[0]);
  EXPECT_EQ(total, 60000U);
}

TEST_F(StreamsTest, InputThatNobodyReadsDoesNotHoldTheEnd) {
  Options options = Open();
  options.input = Sequence(10'000'000);
  options.time_limit = std::chrono::seconds(20);
  EXPECT_EQ(Run({"true"}, options).status, 0);
}

TEST_F(StreamsTest, WaitingForInputThatNeverComesEndsWithTheCommand) {
  Options options = Open();
  options.hold_input = true;
  Process process = Start({"bash", "-c", "exit 6"}, options);
  EXPECT_EQ(process.Wait().status, 6);
}

TEST_F(StreamsTest, ClosedStreamsAreNoCrash) {
  Options options = Open();
  options.in_child = [] {
    close(0);
    close(2);
  };
  EXPECT_EQ(Run({"echo", "fine"}, options).out, "fine\n");
}

TEST_F(StreamsTest, SocketsOfTheHostDoNotGoIn) {
  int pair[2] = {-1, -1};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  Options options = Open();
  options.stdin_fd = pair[0];
  Process process = Start({"bash", "-c", "readlink /proc/self/fd/0; cat"}, options);
  ASSERT_EQ(write(pair[1], "through\n", 8), 8);
  shutdown(pair[1], SHUT_WR);
  const Outcome outcome = process.Wait();
  close(pair[0]);
  close(pair[1]);
  EXPECT_THAT(outcome.out, HasSubstr("pipe:")) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("through\n"));
}

}  // namespace
}  // namespace cellrun::test
