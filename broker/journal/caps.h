// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "broker/journal/record.h"

namespace cellrun::journal {

inline constexpr std::size_t kMaxPathBytes = 4096;  // paths, names, messages
inline constexpr std::size_t kMaxArguments = 256;
inline constexpr std::size_t kMaxArgvBytes = std::size_t{32} * 1024;
inline constexpr std::size_t kMaxListItems = 64;  // chain, layers
inline constexpr std::size_t kMaxDetailBytes = std::size_t{64} * 1024;

// What the record will say about what was cut from it.
struct Cuts {
  std::vector<const char*> fields;  // names, in the record's order
  std::uint64_t argv_count = 0;     // of the original; set when argv was cut
  std::uint64_t argv_bytes = 0;     // of the original, without separators
  std::string argv_digest;          // of the original: see ArgvDigest
  [[nodiscard]] bool empty() const { return fields.empty(); }
};

// Cuts every field to its limit, at a character. Costs a few comparisons where nothing is cut;
// `key` is for ArgvDigest of an argv that is.
Cuts ApplyCaps(Record& record, std::string_view key);

// HMAC-SHA256 under the journal's own key of every argument followed by a NUL: shows that two
// argument lists were the same without giving away a secret that was redacted.
std::string ArgvDigest(const std::vector<std::string>& argv, std::string_view key);

// The memory that a record takes in the queue.
std::size_t FootprintBytes(const Record& record);

}  // namespace cellrun::journal
