// SPDX-License-Identifier: Apache-2.0
#include "broker/notify/denial_log.h"

#include <utility>

#include "broker/journal/encode.h"
#include "lib/sys/file.h"

namespace cellrun::notify {
namespace {

constexpr std::size_t kMaxLines = 1000;
// The file lies in memory that nobody can free but the cell's end.
constexpr std::size_t kMaxFileBytes = 1 << 20;

}  // namespace

void DenialLog::Add(journal::Record record, std::uint64_t seq) {
  journal::Entry entry;
  entry.cuts = journal::ApplyCaps(record, "");
  entry.record = std::move(record);
  entry.seq = seq;
  std::string line = journal::Encode(entry, "");
  const std::lock_guard lock(mutex_);
  if (file_.valid() && file_bytes_ + line.size() + 1 <= kMaxFileBytes) {
    file_bytes_ += line.size() + 1;
    (void)sys::WriteAll(file_, line + "\n");  // a convenience: the journal has it
  }
  if (lines_.size() >= kMaxLines) lines_.pop_front();
  lines_.push_back(std::move(line));
}

std::string DenialLog::last() const {
  const std::lock_guard lock(mutex_);
  return lines_.empty() ? "" : lines_.back();
}

std::vector<std::string> DenialLog::lines() const {
  const std::lock_guard lock(mutex_);
  return {lines_.begin(), lines_.end()};
}

}  // namespace cellrun::notify
