// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "broker/journal/record.h"
#include "broker/notify/denial_log.h"

namespace cellrun::notify {

// Records what programs tend to do again and again: each kind of it once, and then at most once a
// second, with how often it happened since. Thread-safe.
class Repeats {
 public:
  Repeats(journal::Sink& journal, DenialLog& denials) noexcept
      : journal_(journal), denials_(denials) {}

  // Whether the cell's programs read of it as a denial.
  enum class Told : std::uint8_t { kYes, kNo };
  // `key`: what makes it the same thing.
  void Note(const std::string& key, journal::Record record, Told told = Told::kYes);
  // Records what was only counted so far.
  void Flush();

 private:
  struct Last {
    journal::Record record;
    std::chrono::nanoseconds written{0};
    std::uint64_t pending = 0;
    Told told = Told::kYes;
  };
  void Write(Last& last);  // with mutex_ held
  void FlushLocked();

  journal::Sink& journal_;
  DenialLog& denials_;
  std::mutex mutex_;
  std::unordered_map<std::string, Last> known_;  // guarded by mutex_
};

}  // namespace cellrun::notify
