// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "broker/journal/digest.h"
#include "broker/journal/sqlite.h"
#include "lib/base/result.h"

namespace cellrun::journal {

// A record's place in the chain, to be kept somewhere else: whoever can write the database can cut
// its end, and only a head kept elsewhere shows that.
struct ChainHead {
  std::uint64_t seq = 0;
  std::string hash;  // 64 hex digits
};

struct ChainReport {
  bool intact = true;
  std::uint64_t records = 0;  // that were checked
  std::uint64_t first = 0, last = 0;
  std::uint64_t pruned_through = 0;  // records up to this one were removed by retention
  ChainHead head;
  // Where it is not intact: the first record that is wrong (0: not one record), and what is wrong.
  std::uint64_t bad = 0;
  std::string problem;
};

// Walks the chain of one database: each record follows the one before, is what its hash says, and
// is found under the columns that queries use; nothing is missing between the anchor of retention
// and the head. Reads one snapshot.
class ChainWalk {
 public:
  // `expected`: heads that were kept elsewhere, which must be in the chain.
  static Result<ChainWalk> Start(Database database, std::optional<ChainHead> expected = {});
  // Only the newest `records`, without documents and indexes: for a quick check at start.
  static Result<ChainWalk> StartAtEnd(Database database, std::uint64_t records);

  // Checks up to `rows` more; whether there are none left. An Error is one of the walk itself; what
  // is wrong with the journal is in the report.
  Result<bool> Step(std::size_t rows);
  [[nodiscard]] const ChainReport& report() const { return report_; }

 private:
  explicit ChainWalk(Database database) : database_(std::move(database)) {}
  Result<void> Begin(std::uint64_t from_seq);
  bool CheckRow();
  bool CheckText(std::uint64_t seq);
  void NotePruning(std::uint64_t seq);
  Result<void> Finish();
  Result<void> CheckEnd();
  Result<void> CheckDocuments();
  Result<void> CheckFile();
  bool Bad(std::uint64_t seq, std::string problem);

  Database database_;
  Statement rows_;
  std::unique_ptr<Sha256> sha256_ = std::make_unique<Sha256>();
  ChainReport report_;
  std::optional<ChainHead> expected_;
  bool expected_seen_ = false;
  bool whole_ = true;
  bool done_ = false;
  std::uint64_t next_seq_ = 1;
  std::string last_hash_;  // 32 bytes; "" before the first record of a partial walk
  std::uint64_t pruning_announced_ = 0;
};

}  // namespace cellrun::journal
