// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "broker/journal/record.h"
#include "lib/base/unique_fd.h"

namespace cellrun::notify {

// What was denied, as JSON `record` objects: for the report at the end of a run, and a line each in
// the file that programs of the cell can read. Thread-safe.
class DenialLog {
 public:
  // `file`: O_APPEND, borrowed; may be invalid.
  explicit DenialLog(const UniqueFd& file) noexcept : file_(file) {}

  // `seq`: of the record in the journal; 0 if it is not kept there.
  void Add(journal::Record record, std::uint64_t seq);
  [[nodiscard]] std::string last() const;                // "" where there is none
  [[nodiscard]] std::vector<std::string> lines() const;  // the last kMaxLines, oldest first

 private:
  const UniqueFd& file_;
  mutable std::mutex mutex_;
  std::deque<std::string> lines_;  // guarded by mutex_
  std::size_t file_bytes_ = 0;     // guarded by mutex_
};

}  // namespace cellrun::notify
