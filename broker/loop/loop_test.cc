// SPDX-License-Identifier: Apache-2.0
#include "broker/loop/loop.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "lib/sys/file.h"

namespace cellrun::loop {
namespace {
using std::chrono::milliseconds;

struct PipePair {
  sys::Pipe pipe = sys::Pipe2(O_CLOEXEC).value();
  void Put(std::string_view bytes) { ASSERT_TRUE(sys::WriteAll(pipe.write, bytes).ok()); }
  std::string Take(std::size_t bytes) {
    std::string buffer(bytes, '\0');
    buffer.resize(sys::Read(pipe.read, buffer).value());
    return buffer;
  }
};

TEST(LoopTest, RunsPostedWorkOfOtherThreadsInTheOrderOfEach) {
  Loop loop;
  std::vector<int> seen;
  std::thread poster([&] {
    for (int i = 0; i < 1000; ++i) loop.Post([&seen, i] { seen.push_back(i); });
    loop.Post([&] { loop.Stop(); });
  });
  loop.Run();
  poster.join();
  ASSERT_EQ(seen.size(), 1000U);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(LoopTest, CallsAgainWhileBytesAreLeft) {
  Loop loop;
  PipePair in;
  in.Put("abc");
  std::string taken;
  auto watch = loop.WatchReadable(in.pipe.read, [&] {
    taken += in.Take(1);
    if (taken.size() == 3) loop.Stop();
  });
  loop.Run();
  EXPECT_EQ(taken, "abc");
}

TEST(LoopTest, LeavesTheDescriptorBlocking) {
  Loop loop;
  PipePair in;
  in.Put("x");
  auto watch = loop.WatchReadable(in.pipe.read, [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(fcntl(in.pipe.read.get(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(LoopTest, ReportsEndOfFile) {
  Loop loop;
  PipePair in;
  std::string taken = "?";
  auto watch = loop.WatchReadable(in.pipe.read, [&] {
    taken = in.Take(1);
    loop.Stop();
  });
  loop.Post([&] { in.pipe.write.Reset(); });
  loop.Run();
  EXPECT_EQ(taken, "");
}

TEST(LoopTest, AWatchMayEndItselfAndOthersOfTheSameRound) {
  Loop loop;
  PipePair first, second;
  first.Put("1");
  second.Put("2");
  int calls = 0;
  std::array<std::unique_ptr<Loop::Watch>, 2> watches;
  const auto end_both = [&] {
    ++calls;
    watches[0].reset();
    watches[1].reset();
  };
  watches[0] = loop.WatchReadable(first.pipe.read, end_both);
  watches[1] = loop.WatchReadable(second.pipe.read, end_both);
  auto stop = loop.After(milliseconds(30), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_EQ(calls, 1);
}

TEST(LoopTest, ADestroyedTimerNeverFires) {
  Loop loop;
  bool fired = false;
  // Both have expired when the loop runs: the handler of the first cancels the second.
  std::unique_ptr<Loop::Timer> late;
  auto early = loop.After(milliseconds(0), [&] { late.reset(); });
  late = loop.After(milliseconds(0), [&] { fired = true; });
  auto stop = loop.After(milliseconds(30), [&] { loop.Stop(); });
  loop.Run();
  EXPECT_FALSE(fired);
}

TEST(LoopTest, TimersExpireInOrder) {
  Loop loop;
  std::string order;
  auto b = loop.After(milliseconds(20), [&] { order += "b"; });
  auto a = loop.After(milliseconds(1), [&] { order += "a"; });
  auto c = loop.After(milliseconds(40), [&] {
    order += "c";
    loop.Stop();
  });
  loop.Run();
  EXPECT_EQ(order, "abc");
}

TEST(LoopTest, WatchesMayOutliveTheLoop) {
  PipePair in;
  std::unique_ptr<Loop::Watch> watch;
  {
    Loop loop;
    watch = loop.WatchReadable(in.pipe.read, [] {});
    loop.Post([&] { loop.Stop(); });
    loop.Run();
  }
  watch.reset();
  EXPECT_TRUE(sys::Fstat(in.pipe.read).ok());
}

}  // namespace
}  // namespace cellrun::loop
