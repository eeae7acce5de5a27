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

  // `key`: what makes it the same thing.
  void Note(const std::string& key, journal::Record record);
  // Records what was only counted so far.
  void Flush();

 private:
  struct Last {
    journal::Record record;
    std::chrono::nanoseconds written{0};
    std::uint64_t pending = 0;
  };
  void Write(journal::Record record, std::uint64_t count);  // with mutex_ held
  void FlushLocked();

  journal::Sink& journal_;
  DenialLog& denials_;
  std::mutex mutex_;
  std::unordered_map<std::string, Last> known_;  // guarded by mutex_
};

}  // namespace cellrun::notify
