// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/chain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/journal/temporary_journal.h"

namespace cellrun::journal {
namespace {

using ::testing::HasSubstr;

class ChainWalkTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto journal = OpenJournal(state_);
    for (int i = 1; i <= 20; ++i) {
      ASSERT_EQ(journal->Append(ExecRecord("/bin/" + std::to_string(i))), i);
    }
    ASSERT_TRUE(journal->KeepDocument({.name = "p", .origin = "p.yaml", .text = "rules"}).ok());
    ASSERT_TRUE(journal->Close().ok());
  }
  void ExpectBad(std::uint64_t seq, const std::string& problem) {
    const ChainReport report = state_.Verify();
    EXPECT_FALSE(report.intact);
    EXPECT_EQ(report.bad, seq);
    EXPECT_THAT(report.problem, HasSubstr(problem));
  }
  TemporaryState state_;
};

TEST_F(ChainWalkTest, AcceptsWhatTheJournalWrote) {
  const ChainReport report = state_.Verify();
  EXPECT_TRUE(report.intact) << report.problem;
  EXPECT_EQ(report.records, 20U);
  EXPECT_EQ(report.last, 20U);
}

TEST_F(ChainWalkTest, NamesAnEditedRecord) {
  state_.Tamper("UPDATE records SET record = replace(record, '/work', '/tmp1') WHERE seq = 7");
  ExpectBad(7, "do not match its hash");
}

TEST_F(ChainWalkTest, NamesAnEditedRecordOfWhichTheHashWasMadeAnew) {
  // The hash of record 7 is right again, but record 8 still follows the old one.
  Sha256 sha;
  Reader reader = Reader::Open(state_.database()).value();
  const std::string text = reader.Find(7).value()->json;
  state_.Tamper("UPDATE records SET record = replace(record, '/work', '/tmp1') WHERE seq = 7");
  sqlite3* handle = nullptr;
  ASSERT_EQ(sqlite3_open(state_.database().c_str(), &handle), SQLITE_OK);
  sqlite3_stmt* select = nullptr;
  sqlite3_prepare_v2(handle, "SELECT prev, record FROM records WHERE seq = 7", -1, &select,
                     nullptr);
  ASSERT_EQ(sqlite3_step(select), SQLITE_ROW);
  const std::string_view prev(static_cast<const char*>(sqlite3_column_blob(select, 0)), 32);
  const std::string_view record(reinterpret_cast<const char*>(sqlite3_column_text(select, 1)));
  const std::string hash = Hex(sha.Of({prev, record}));
  sqlite3_finalize(select);
  sqlite3_close(handle);
  state_.Tamper("UPDATE records SET hash = x'" + hash + "' WHERE seq = 7");
  ExpectBad(8, "does not follow record 7");
}

TEST_F(ChainWalkTest, NamesADeletedRecord) {
  state_.Tamper("DELETE FROM records WHERE seq = 5");
  ExpectBad(5, "it is missing");
}

TEST_F(ChainWalkTest, NamesTheFirstOfSeveralDeletedRecords) {
  state_.Tamper("DELETE FROM records WHERE seq BETWEEN 5 AND 9");
  ExpectBad(5, "all up to 9 are missing");
}

TEST_F(ChainWalkTest, NamesADeletedRecordThatWasCountedOver) {
  state_.Tamper(
      "DELETE FROM records WHERE seq = 5;"
      "UPDATE records SET seq = -(seq - 1) WHERE seq > 5;"
      "UPDATE records SET seq = -seq WHERE seq < 0");
  ExpectBad(5, "reordered");
}

TEST_F(ChainWalkTest, NamesExchangedRecords) {
  state_.Tamper(
      "UPDATE records SET seq = -1 WHERE seq = 3; UPDATE records SET seq = 3 WHERE seq = 4;"
      "UPDATE records SET seq = 4 WHERE seq = -1");
  ExpectBad(3, "in its place stands record 4");
}

TEST_F(ChainWalkTest, NamesAnInsertedRecord) {
  state_.Tamper(
      "INSERT INTO records SELECT 21, time, cell, kind, verdict, exe, record, prev, hash"
      " FROM records WHERE seq = 20");
  ExpectBad(21, "reordered");
}

TEST_F(ChainWalkTest, NamesACutEnd) {
  state_.Tamper("DELETE FROM records WHERE seq > 15");
  ExpectBad(16, "missing at the end");
}

TEST_F(ChainWalkTest, NamesACutBeginning) {
  state_.Tamper("DELETE FROM records WHERE seq < 4");
  ExpectBad(1, "all up to 3 are missing");
}

TEST_F(ChainWalkTest, NamesACutBeginningUnderAForgedAnchor) {
  state_.Tamper(
      "UPDATE anchor SET seq = 3, hash = (SELECT hash FROM records WHERE seq = 3), goal = 3;"
      "DELETE FROM records WHERE seq < 4");
  ExpectBad(3, "no record says that retention removed it");
}

TEST_F(ChainWalkTest, NamesChangedQueryColumns) {
  for (const char* change :
       {"cell = 'x'", "kind = 'file'", "verdict = 'deny'", "exe = '/bin/x'", "time = time + 1"}) {
    TemporaryState state;
    auto journal = OpenJournal(state);
    journal->Append(ExecRecord("/bin/1"));
    ASSERT_TRUE(journal->Close().ok());
    state.Tamper(std::string("UPDATE records SET ") + change);
    const ChainReport report = state.Verify();
    EXPECT_EQ(report.bad, 1U) << change;
    EXPECT_THAT(report.problem, HasSubstr("columns"));
  }
}

TEST_F(ChainWalkTest, NamesARecordThatIsNoJson) {
  state_.Tamper("DROP INDEX records_follow_up; UPDATE records SET record = '{' WHERE seq = 9");
  ExpectBad(9, "hash");
}

TEST_F(ChainWalkTest, NamesAChangedDocument) {
  state_.Tamper("UPDATE documents SET text = x'00'");
  const ChainReport report = state_.Verify();
  EXPECT_FALSE(report.intact);
  EXPECT_THAT(report.problem, HasSubstr("profile text"));
}

TEST_F(ChainWalkTest, ACutEndWithAForgedHeadShowsAgainstAHeadKeptElsewhere) {
  const ChainHead kept = state_.Verify().head;
  state_.Tamper(
      "DELETE FROM records WHERE seq > 15;"
      "UPDATE head SET seq = 15, hash = (SELECT hash FROM records WHERE seq = 15)");
  EXPECT_TRUE(state_.Verify().intact);  // by itself it cannot be told
  const ChainReport report = state_.Verify(kept);
  EXPECT_FALSE(report.intact);
  EXPECT_EQ(report.bad, 20U);
}

TEST_F(ChainWalkTest, ARewrittenRecordShowsAgainstAHeadKeptElsewhere) {
  EXPECT_TRUE(state_.Verify(state_.Verify().head).intact);
  const ChainReport report = state_.Verify(ChainHead{.seq = 10, .hash = std::string(64, '0')});
  EXPECT_EQ(report.bad, 10U);
  EXPECT_THAT(report.problem, HasSubstr("rewritten"));
}

TEST_F(ChainWalkTest, EveryChangedByteOfARecordIsNoticed) {
  for (int at = 1; at <= 200; at += 3) {
    TemporaryState copy;
    std::filesystem::copy_file(state_.database(), copy.database());
    const std::string where = std::to_string(at);
    copy.Tamper(
        "DROP INDEX records_follow_up;"  // refuses what is no JSON
        "UPDATE records SET record = substr(record, 1, " +
        where + ") || '~' || substr(record, " + where + " + 2) WHERE seq = 11 AND substr(record, " +
        where + " + 1, 1) <> '~'");
    EXPECT_EQ(copy.Verify().bad, 11U) << at;
  }
}

TEST_F(ChainWalkTest, ReadsACopyWithoutItsWriter) {
  TemporaryState copy;
  std::filesystem::copy_file(state_.database(), copy.database());
  EXPECT_EQ(copy.Verify().records, 20U);
}

}  // namespace
}  // namespace cellrun::journal
