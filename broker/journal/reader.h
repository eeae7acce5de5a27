// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/journal/sqlite.h"
#include "lib/base/result.h"

namespace cellrun::journal {

// Which records are wanted; all conditions hold. Empty: any.
struct Filter {
  std::string cell = {};                               // name, id or unique prefix of an id
  std::vector<std::string> kinds = {}, verdicts = {};  // any of
  std::optional<std::chrono::system_clock::time_point> since = {};  // this time or later
  std::optional<std::chrono::system_clock::time_point> until = {};  // before this time
  std::string exe = {};   // glob ('*' also matches '/'); of the last part if it has no '/'
  std::string text = {};  // stands somewhere in the record
};

// A record as people and programs get it: its JSON object with "prev" and "hash".
struct StoredRecord {
  std::uint64_t seq = 0;
  std::string json;
};

// Reads one database, beside its writer or without one. Not thread-safe: one a thread.
class Reader {
 public:
  static Result<Reader> Open(const std::string& path);

  // Replaces filter.cell by the ids it stands for. EINVAL: several cells' ids start like that. No
  // such cell: an id that matches nothing.
  Result<void> ResolveCell(Filter& filter);
  // At most `rows` records after `after`, oldest first. ETIMEDOUT: took over 10 s.
  Result<std::vector<StoredRecord>> Page(const Filter& filter, std::uint64_t after,
                                         std::size_t rows);
  // Where to begin so that `Page` gives the newest `count` matches: a value for `after`.
  Result<std::uint64_t> BeforeNewest(const Filter& filter, std::uint64_t count);
  // The last record's sequence number.
  Result<std::uint64_t> Last();
  Result<std::optional<StoredRecord>> Find(std::uint64_t seq);
  // The follow-up that says how record `seq` came out.
  Result<std::optional<StoredRecord>> FollowUp(std::uint64_t seq);
  // The start of the cell that `seq` belongs to: the last one at or before it.
  Result<std::optional<StoredRecord>> CellStart(const std::string& cell, std::uint64_t seq);
  Result<std::optional<std::string>> Document(const std::string& digest);

 private:
  explicit Reader(Database database) : database_(std::move(database)) {}
  Result<Statement> Select(const char* columns, const Filter& filter, std::string_view rest);

  Database database_;
};

}  // namespace cellrun::journal
