// SPDX-License-Identifier: Apache-2.0
#include "launcher/terminal/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <thread>

#include "lib/sys/file.h"
#include "lib/sys/socket.h"

namespace cellrun::terminal {
namespace {

constexpr int kNever = 20'000;  // ms: a turn that waits that long hangs

// Runs the channel until it is done or nothing happens any more.
bool RunAll(Channel& channel) {
  while (!channel.done()) {
    std::vector<pollfd> poll_set;
    channel.AddTo(poll_set);
    if (poll_set.empty()) continue;
    if (poll(poll_set.data(), poll_set.size(), kNever) == 0) return false;
    channel.Run(poll_set);
  }
  return true;
}
sys::Pipe MakePipe() {
  (void)signal(SIGPIPE, SIG_IGN);
  Result<sys::Pipe> pipe = sys::Pipe2(O_CLOEXEC);
  EXPECT_TRUE(pipe.ok());
  return std::move(pipe).value();
}
char Pattern(std::size_t at) {
  return static_cast<char>((at * 2654435761U) >> 13);
}

void WritePattern(const UniqueFd& to, std::size_t bytes, std::size_t chunk) {
  std::string buffer;
  for (std::size_t at = 0; at < bytes; at += buffer.size()) {
    buffer.resize(std::min(chunk, bytes - at));
    for (std::size_t i = 0; i < buffer.size(); ++i) buffer[i] = Pattern(at + i);
    ASSERT_TRUE(sys::WriteAll(to, buffer).ok());
  }
}
// The number of bytes, or the place of the first wrong one, negative.
long CheckPattern(const UniqueFd& from) {
  std::array<char, 50'000> buffer{};
  std::size_t at = 0;
  for (;;) {
    const Result<std::size_t> got = sys::Read(from, buffer);
    if (!got.ok() || *got == 0) return static_cast<long>(at);
    for (std::size_t i = 0; i < *got; ++i, ++at) {
      if (buffer.at(i) != Pattern(at)) return -static_cast<long>(at) - 1;
    }
  }
}

TEST(ChannelTest, MovesAHundredMegabytesByteExact) {
  constexpr std::size_t kBytes = 100'000'003;
  sys::Pipe in = MakePipe();
  sys::Pipe out = MakePipe();
  std::thread writer([&] {
    WritePattern(in.write, kBytes, 77'777);
    in.write.Reset();
  });
  long read_back = 0;
  std::thread reader([&] { read_back = CheckPattern(out.read); });
  Channel channel(OwnEndpoint(std::move(in.read)), OwnEndpoint(std::move(out.write)));
  EXPECT_TRUE(RunAll(channel));
  writer.join();
  reader.join();
  EXPECT_EQ(read_back, static_cast<long>(kBytes));
}

TEST(ChannelTest, MovesThroughSocketsWithoutTouchingTheirFlags) {
  constexpr std::size_t kBytes = 5'000'000;
  auto in = sys::SocketPair(SOCK_STREAM);
  auto out = sys::SocketPair(SOCK_STREAM);
  ASSERT_TRUE(in.ok() && out.ok());
  std::thread writer([&] {
    WritePattern(in->second, kBytes, 9'999);
    in->second.Reset();
  });
  long read_back = 0;
  std::thread reader([&] { read_back = CheckPattern(out->second); });
  const UniqueFd shared(dup(out->first.get()));
  {
    Channel channel({std::move(in->first), Access::kSocket},
                    {std::move(out->first), Access::kSocket});
    EXPECT_TRUE(RunAll(channel));
  }
  EXPECT_EQ(fcntl(shared.get(), F_GETFL) & O_NONBLOCK, 0);
  ASSERT_EQ(shutdown(shared.get(), SHUT_WR), 0);
  writer.join();
  reader.join();
  EXPECT_EQ(read_back, static_cast<long>(kBytes));
}

TEST(ChannelTest, ClosesTheSinkWhenTheSourceEnds) {
  sys::Pipe in = MakePipe();
  sys::Pipe out = MakePipe();
  Channel channel(OwnEndpoint(std::move(in.read)), OwnEndpoint(std::move(out.write)));
  ASSERT_TRUE(sys::WriteAll(in.write, std::string("last\0words", 10)).ok());
  in.write.Reset();
  EXPECT_TRUE(RunAll(channel));
  EXPECT_EQ(sys::ReadWholeFile(out.read, 100).value(), std::string("last\0words", 10));
}

TEST(ChannelTest, ClosesTheSourceWhenTheReaderGoes) {
  sys::Pipe in = MakePipe();
  sys::Pipe out = MakePipe();
  Channel channel(OwnEndpoint(std::move(in.read)), OwnEndpoint(std::move(out.write)));
  out.read.Reset();
  EXPECT_TRUE(RunAll(channel)) << "nobody writes: the sink alone must wake it";
  const Result<void> written = sys::WriteAll(in.write, "x");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().code(), EPIPE);
}

TEST(ChannelTest, KeepsASourceThatHasSpentItsBudgetOpenAndUnread) {
  sys::Pipe in = MakePipe();
  sys::Pipe out = MakePipe();
  OutputBudget budget{.left = 4};
  Channel channel(OwnEndpoint(std::move(in.read)), OwnEndpoint(std::move(out.write)), nullptr,
                  &budget);
  ASSERT_TRUE(sys::WriteAll(in.write, "four and more").ok());
  std::vector<pollfd> poll_set;
  channel.AddTo(poll_set);
  ASSERT_GT(poll(poll_set.data(), poll_set.size(), -1), 0);
  channel.Run(poll_set);
  EXPECT_TRUE(channel.spent());
  EXPECT_TRUE(sys::WriteAll(in.write, "still taken").ok());
  poll_set.clear();
  channel.AddTo(poll_set);
  EXPECT_EQ(poll(poll_set.data(), poll_set.size(), 0), 0) << "nothing to wait for";
  EXPECT_FALSE(channel.done());
  channel.StopReading();
  EXPECT_TRUE(RunAll(channel));
  EXPECT_EQ(sys::ReadWholeFile(out.read, 100).value(), "four");
}

TEST(ChannelTest, ReadsNoFurtherThanTheReaderKeepsUp) {
  sys::Pipe in = MakePipe();
  sys::Pipe out = MakePipe();
  ASSERT_TRUE(sys::SetNonBlocking(in.write, true).ok());
  Channel channel(OwnEndpoint(std::move(in.read)), OwnEndpoint(std::move(out.write)));
  const std::string block(4096, 'x');
  std::size_t accepted = 0;
  for (int idle = 0; idle < 3;) {
    const Result<std::size_t> put = sys::Write(in.write, block);
    idle = put.ok() ? 0 : idle + 1;
    if (put.ok()) accepted += *put;
    std::vector<pollfd> poll_set;
    channel.AddTo(poll_set);
    if (poll(poll_set.data(), poll_set.size(), 0) > 0) channel.Run(poll_set);
  }
  EXPECT_LE(accepted, 3 * Channel::kBufferBytes) << "two pipes and one buffer";
}

TEST(ChannelTest, SendsTheFarewellOnceAtALineStartAndTwiceWithin) {
  for (const auto& [text, expected] :
       {std::pair{"line\n", "line\n\x04"}, {"part", "part\x04\x04"}, {"", "\x04"}}) {
    sys::Pipe in = MakePipe();
    sys::Pipe out = MakePipe();
    Channel channel(OwnEndpoint(std::move(in.read)), OwnEndpoint(std::move(out.write)));
    channel.SetFarewell("\x04");
    ASSERT_TRUE(sys::WriteAll(in.write, text).ok());
    in.write.Reset();
    EXPECT_TRUE(RunAll(channel));
    EXPECT_EQ(sys::ReadWholeFile(out.read, 100).value(), expected);
  }
}

TEST(ChannelTest, FiltersWhatGoesToATerminal) {
  sys::Pipe in = MakePipe();
  sys::Pipe out = MakePipe();
  OutputFilter filter;
  Channel channel(OwnEndpoint(std::move(in.read)), OwnEndpoint(std::move(out.write)), &filter);
  ASSERT_TRUE(sys::WriteAll(in.write,
                            "a\x1b]52;c;eA==\x07"
                            "b")
                  .ok());
  in.write.Reset();
  EXPECT_TRUE(RunAll(channel));
  EXPECT_EQ(sys::ReadWholeFile(out.read, 100).value(), "ab");
}

}  // namespace
}  // namespace cellrun::terminal
