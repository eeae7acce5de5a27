// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/queue.h"

#include <gtest/gtest.h>

#include <string>

namespace cellrun::journal {
namespace {

constexpr std::size_t kBacklog = 2000;  // much of it is packed

Entry EntryOf(std::size_t number) {
  Entry entry;
  entry.record = RecordNow(Kind::kExec, "0123456789ab", 4711, 1000);
  entry.record.exe = "/usr/bin/id";
  entry.record.argv = {"id", std::to_string(number), std::string("\xff\n\0", 3)};
  entry.record.rule = {
      .name = "r", .layer = policy::Layer::kWorkspace, .at = {"/etc/strict.yaml", 26, 5}};
  entry.of = number;
  return entry;
}

class QueueTest : public testing::Test {
 protected:
  QueueTest() {
    for (std::size_t i = 0; i < kBacklog; ++i) EXPECT_EQ(queue_.Push(EntryOf(i), 10), i + 1);
  }
  // Takes all groups; what each entry is, in order.
  std::vector<Entry> Written() {
    std::vector<Entry> written;
    while (queue_.waiting() > 0) {
      queue_.BeginWriting(256);
      written.insert(written.end(), queue_.group().begin(), queue_.group().end());
      queue_.EndWriting(true);
    }
    return written;
  }

  Queue queue_{65536, std::size_t{64} << 20, 1};
};

TEST_F(QueueTest, ABacklogComesOutAsItWentIn) {
  const std::vector<Entry> written = Written();
  ASSERT_EQ(written.size(), kBacklog);
  for (std::size_t i = 0; i < kBacklog; ++i) {
    Entry expected = EntryOf(i);
    expected.record.time = written[i].record.time;
    expected.seq = i + 1;
    EXPECT_EQ(Encode(written[i], ""), Encode(expected, "")) << i;
    EXPECT_EQ(written[i].of, i);
  }
  EXPECT_EQ(queue_.bytes(), 0U);
}

TEST_F(QueueTest, WhatWaitsCanBeAmendedWhereverItIs) {
  queue_.BeginWriting(256);
  const auto deny = [](Record& record) { record.result = "denied"; };
  EXPECT_FALSE(queue_.Amend(1, deny)) << "it is being written";
  EXPECT_TRUE(queue_.Amend(257, deny));
  EXPECT_TRUE(queue_.Amend(kBacklog, deny));
  EXPECT_FALSE(queue_.Amend(kBacklog + 1, deny)) << "there is none yet";
  queue_.EndWriting(true);
  const std::vector<Entry> written = Written();
  EXPECT_EQ(written.front().record.result, "denied");
  EXPECT_EQ(written.back().record.result, "denied");
  EXPECT_EQ(written.back().record.exe, "/usr/bin/id");
  EXPECT_EQ(written[1].record.result, "");
}

TEST_F(QueueTest, WhatWasCutKeepsSayingSo) {
  Entry cut = EntryOf(7);
  cut.cuts.fields = {"argv"};
  cut.cuts.argv_count = 9;
  const std::uint64_t seq = queue_.Push(std::move(cut), 10);
  const std::vector<Entry> written = Written();
  EXPECT_EQ(written.back().seq, seq);
  EXPECT_EQ(written.back().cuts.argv_count, 9U);
}

}  // namespace
}  // namespace cellrun::journal
