// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/queue.h"

#include <utility>

namespace cellrun::journal {

std::uint64_t Queue::Push(Entry entry, std::size_t bytes) {
  const std::uint64_t seq = next_seq_++;
  entry.seq = seq;
  bytes_ += bytes;
  waiting_.push_back({std::move(entry), bytes});
  return seq;
}

Entry* Queue::Find(std::uint64_t seq) {
  if (!waiting_.empty() && seq >= waiting_.front().entry.seq && seq < next_seq_) {
    return &waiting_[seq - waiting_.front().entry.seq].entry;
  }
  if (writing_ || group_.empty() || seq < group_.front().seq || seq > group_.back().seq) {
    return nullptr;
  }
  return &group_[seq - group_.front().seq];
}

void Queue::BeginWriting(std::size_t max_group) {
  writing_ = true;
  if (!group_.empty() || !group_documents_.empty()) return;
  std::swap(documents_, group_documents_);
  while (!waiting_.empty() && group_.size() < max_group) {
    group_bytes_ += waiting_.front().bytes;
    group_.push_back(std::move(waiting_.front().entry));
    waiting_.pop_front();
  }
}

void Queue::EndWriting(bool written) {
  writing_ = false;
  if (!written) return;
  bytes_ -= std::exchange(group_bytes_, 0);
  group_.clear();
  group_documents_.clear();
}

}  // namespace cellrun::journal
