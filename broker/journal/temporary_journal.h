// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "broker/journal/chain.h"
#include "broker/journal/journal.h"
#include "broker/journal/reader.h"
#include "broker/journal/schema.h"

namespace cellrun::journal {

// A state directory that goes with the test.
class TemporaryState {
 public:
  TemporaryState() {
    std::string pattern = ::testing::TempDir() + "/journal-XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~TemporaryState() { std::filesystem::remove_all(directory_); }
  TemporaryState(const TemporaryState&) = delete;
  TemporaryState& operator=(const TemporaryState&) = delete;
  [[nodiscard]] const std::string& directory() const { return directory_; }
  [[nodiscard]] std::string database() const { return directory_ + "/journal.db"; }

  // Changes the database as somebody who can write the file would.
  void Tamper(const std::string& sql) const {
    sqlite3* handle = nullptr;
    ASSERT_EQ(sqlite3_open(database().c_str(), &handle), SQLITE_OK);
    char* message = nullptr;
    EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, &message), SQLITE_OK)
        << (message != nullptr ? message : "");
    sqlite3_free(message);
    sqlite3_close(handle);
  }

  [[nodiscard]] ChainReport Verify(std::optional<ChainHead> expected = {}) const {
    auto walk = ChainWalk::Start(OpenForReading(database()).value(), std::move(expected)).value();
    EXPECT_TRUE(walk.Step(1 << 30).value());
    return walk.report();
  }
  [[nodiscard]] std::vector<std::string> Records(const Filter& filter = {}) const {
    std::vector<std::string> texts;
    Reader reader = Reader::Open(database()).value();
    const auto page = reader.Page(filter, 0, 1 << 20);
    for (const StoredRecord& record : *page) texts.push_back(record.json);
    return texts;
  }

 private:
  std::string directory_;
};

inline Record ExecRecord(const std::string& exe, const std::string& cell = "c1") {
  Record record;
  record.cell = cell;
  record.exe = exe;
  record.path = exe;
  record.argv = {exe, "argument"};
  record.cwd = "/work";
  record.verdict = policy::Action::kAllow;
  record.rule = {.name = "tools", .layer = policy::Layer::kProfile, .at = {"strict.yaml", 7, 3}};
  return record;
}

inline std::unique_ptr<Journal> OpenJournal(const TemporaryState& state,
                                            const JournalOptions& options = {}) {
  return Journal::Open(state.directory(), options).value();
}

}  // namespace cellrun::journal
