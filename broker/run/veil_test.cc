// SPDX-License-Identifier: Apache-2.0
#include "broker/run/veil.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cellrun::run {
namespace {

using testing::ElementsAre;

class Kept final : public journal::Sink {
 public:
  std::uint64_t Append(journal::Record record) override {
    records.push_back(std::move(record));
    return records.size();
  }
  void SetResult(std::uint64_t, std::string) override {}
  bool Healthy() const override { return true; }
  std::vector<journal::Record> records;
};

journal::Record RecordOf(const std::string& cell) {
  journal::Record record;
  record.cell = cell;
  record.path = "/w/sesame-1/x";
  record.argv = {"curl", "-Hsesame-1", "c2VzYW1lLTE=", "sesame-"};
  record.name = "sesame-1.example";
  record.reason = "no sesame-1";
  return record;
}

TEST(VeilTest, CoversTheRecordsOfItsCellUntilThatIsGone) {
  Kept kept;
  Veil veil(kept);
  veil.Cover("ghost", {"sesame-1"});
  EXPECT_EQ(veil.Append(RecordOf("ghost")), 1U);
  EXPECT_EQ(veil.Append(RecordOf("other")), 2U);
  veil.Forget("ghost");
  EXPECT_EQ(veil.Append(RecordOf("ghost")), 3U);

  const journal::Record& covered = kept.records[0];
  EXPECT_EQ(covered.path, "/w/***/x");
  EXPECT_THAT(covered.argv, ElementsAre("curl", "-H***", testing::StartsWith("***"), "sesame-"));
  EXPECT_EQ(covered.name, "***.example");
  EXPECT_EQ(covered.reason, "no ***");
  for (const std::size_t other : {1U, 2U}) EXPECT_EQ(kept.records[other].argv, RecordOf("").argv);
}

}  // namespace
}  // namespace cellrun::run
