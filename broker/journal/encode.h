// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "broker/journal/caps.h"
#include "broker/journal/record.h"

namespace cellrun::journal {

// A record on its way to the disk.
struct Entry {
  Record record;
  Cuts cuts;
  std::uint64_t seq = 0;
  std::uint64_t of = 0;          // a follow-up: what it says the result of
  std::uint64_t prune_goal = 0;  // announces that records up to this one will be removed
};

// The record as canonical JSON, without "prev" and "hash" (they are beside it in the database).
// docs/journal.md has the members. Redacts if the record asks for it; `key`: see ArgvDigest.
std::string Encode(const Entry& entry, std::string_view key);

// RFC 3339 in UTC with microseconds.
std::string FormatTime(std::chrono::system_clock::time_point time);
// RFC 3339 with any offset. Nothing: it is none, or outside 1970–2262.
std::optional<std::chrono::system_clock::time_point> ParseTime(std::string_view text);

std::int64_t Microseconds(std::chrono::system_clock::time_point time);  // since 1970

}  // namespace cellrun::journal
