// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/repeats.h"

#include <utility>

#include "lib/sys/process.h"

namespace cellrun::notify {
namespace {

constexpr std::chrono::seconds kInterval{1};
constexpr std::size_t kMaxKnown = 512;  // a cell chooses the keys

}  // namespace

void Repeats::Note(const std::string& key, journal::Record record, Told told) {
  const std::chrono::nanoseconds now = sys::MonotonicNow();
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown && known_.find(key) == known_.end()) {
    FlushLocked();
    known_.clear();
  }
  const auto [entry, is_new] = known_.try_emplace(key);
  Last& last = entry->second;
  ++last.pending;
  last.record = std::move(record);
  last.told = told;
  if (is_new || now - last.written >= kInterval) {
    last.written = now;
    Write(last);
  }
}

void Repeats::Flush() {
  const std::lock_guard lock(mutex_);
  FlushLocked();
}

void Repeats::FlushLocked() {
  for (auto& [key, last] : known_) {
    if (last.pending > 0) Write(last);
  }
}

void Repeats::Write(Last& last) {
  journal::Record record = last.record;
  record.count = std::exchange(last.pending, 0);
  // Denied in any case: what the journal cannot keep is not undone by it.
  const std::uint64_t seq = journal_.Append(record);
  if (last.told == Told::kYes) denials_.Add(std::move(record), seq);
}

}  // namespace cellrun::notify
