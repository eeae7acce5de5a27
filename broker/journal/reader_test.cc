// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/journal/encode.h"
#include "broker/journal/temporary_journal.h"
#include "tests/support/result_matchers.h"

namespace cellrun::journal {
namespace {

using test::FailsWith;
using ::testing::ElementsAre;

class ReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto journal = OpenJournal(state_);
    Add(*journal, Kind::kCell, "aa11", "", policy::Action::kAllow, "quiet-otter");  // 1
    Add(*journal, Kind::kExec, "aa11", "/usr/bin/git", policy::Action::kAllow);     // 2
    Add(*journal, Kind::kExec, "aa11", "/usr/bin/sudo", policy::Action::kDeny);     // 3
    Add(*journal, Kind::kCell, "aa22", "", policy::Action::kAllow, "loud-fox");     // 4
    Add(*journal, Kind::kExec, "aa22", "/opt/git/bin/make", policy::Action::kAsk);  // 5
    Add(*journal, Kind::kSyscall, "bb33", "", policy::Action::kDeny, "mount");      // 6
    ASSERT_TRUE(journal->Close().ok());
    reader_ = std::make_unique<Reader>(Reader::Open(state_.database()).value());
  }
  void Add(Journal& journal, Kind kind, const std::string& cell, const std::string& exe,
           policy::Action verdict, const std::string& name = "") {
    Record record;
    record.time = ParseTime("2024-05-01T00:00:00Z").value() + std::chrono::hours(++hour_);
    record.kind = kind;
    record.cell = cell;
    record.exe = exe;
    record.verdict = verdict;
    record.name = name;
    record.argv = {exe, "grüße \"x\""};
    ASSERT_NE(journal.Append(std::move(record)), 0U);
  }
  std::vector<std::uint64_t> Seqs(Filter filter, std::uint64_t after = 0) {
    EXPECT_TRUE(reader_->ResolveCell(filter).ok());
    std::vector<std::uint64_t> seqs;
    const auto page = reader_->Page(filter, after, 100);
    for (const StoredRecord& record : *page) seqs.push_back(record.seq);
    return seqs;
  }
  TemporaryState state_;
  std::unique_ptr<Reader> reader_;
  int hour_ = 0;
};

TEST_F(ReaderTest, FiltersByEveryField) {
  EXPECT_THAT(Seqs({}), ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(Seqs({.kinds = {"exec"}}), ElementsAre(2, 3, 5));
  EXPECT_THAT(Seqs({.kinds = {"syscall", "cell"}}), ElementsAre(1, 4, 6));
  EXPECT_THAT(Seqs({.verdicts = {"deny", "ask"}}), ElementsAre(3, 5, 6));
  EXPECT_THAT(Seqs({.since = ParseTime("2024-05-01T05:00:00Z")}), ElementsAre(5, 6));
  EXPECT_THAT(Seqs({.until = ParseTime("2024-05-01T02:00:00Z")}), ElementsAre(1));
  EXPECT_THAT(Seqs({.kinds = {"exec"}, .verdicts = {"deny"}}), ElementsAre(3));
  EXPECT_THAT(Seqs({.verdicts = {"deny"}}, 3), ElementsAre(6));
}

TEST_F(ReaderTest, AnExeWithoutSlashIsTheProgramsName) {
  EXPECT_THAT(Seqs({.exe = "git"}), ElementsAre(2));
  EXPECT_THAT(Seqs({.exe = "/usr/bin/*"}), ElementsAre(2, 3));
  EXPECT_THAT(Seqs({.exe = "/opt/*"}), ElementsAre(5));
  EXPECT_THAT(Seqs({.exe = "*"}), ElementsAre(2, 3, 5));
}

TEST_F(ReaderTest, TextIsFoundAsItWasWritten) {
  EXPECT_THAT(Seqs({.text = "grüße \"x\""}).size(), 6U);
  EXPECT_THAT(Seqs({.text = "sudo"}), ElementsAre(3));
  EXPECT_THAT(Seqs({.text = "'; DROP TABLE records; --"}), ElementsAre());
}

TEST_F(ReaderTest, ACellIsNamedByNameIdOrUniquePrefix) {
  EXPECT_THAT(Seqs({.cell = "quiet-otter"}), ElementsAre(1, 2, 3));
  EXPECT_THAT(Seqs({.cell = "aa22"}), ElementsAre(4, 5));
  EXPECT_THAT(Seqs({.cell = "b"}), ElementsAre(6));
  EXPECT_THAT(Seqs({.cell = "nobody"}), ElementsAre());
  Filter ambiguous{.cell = "aa"};
  EXPECT_THAT(reader_->ResolveCell(ambiguous), FailsWith(EINVAL));
}

TEST_F(ReaderTest, FindsWhereTheNewestBegin) {
  EXPECT_EQ(reader_->BeforeNewest({}, 2).value(), 4U);
  EXPECT_EQ(reader_->BeforeNewest({.kinds = {"exec"}}, 2).value(), 2U);
  EXPECT_EQ(reader_->BeforeNewest({}, 100).value(), 0U);
  EXPECT_EQ(reader_->Last().value(), 6U);
}

TEST_F(ReaderTest, FindsOneRecordWithItsPlaceInTheChain) {
  const auto record = reader_->Find(2).value();
  ASSERT_TRUE(record.has_value());
  EXPECT_THAT(record->json,
              ::testing::MatchesRegex(".*,\"prev\":\"[0-9a-f]+\",\"hash\":\"[0-9a-f]+\"}"));
  EXPECT_FALSE(reader_->Find(7).value().has_value());
  EXPECT_FALSE(reader_->Find(~0ULL).value().has_value());
}

TEST_F(ReaderTest, ReadsBesideTheWriter) {
  auto journal = OpenJournal(state_);
  Add(*journal, Kind::kExec, "bb33", "/bin/x", policy::Action::kAllow);
  ASSERT_TRUE(journal->Flush(std::chrono::seconds(5)).ok());
  EXPECT_THAT(Seqs({}, 6), ElementsAre(7));
}

TEST_F(ReaderTest, NoDatabaseIsAnErrorOfItsOwn) {
  EXPECT_THAT(Reader::Open(state_.directory() + "/none.db"), FailsWith(ENOENT));
}

}  // namespace
}  // namespace cellrun::journal
