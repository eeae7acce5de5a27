// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/queue.h"

#include <utility>

#include "broker/journal/record_packing.h"
#include "lib/base/packing.h"

namespace cellrun::journal {

namespace {

// `seq` is where it stands. What was cut is rare, and has names that are not text.
bool CanPack(const Entry& entry) {
  return entry.cuts.empty();
}
std::string Pack(const Entry& entry) {
  Packer packer;
  packer(entry.record, entry.of, entry.prune_goal);
  std::string packed = packer.Take();
  packed.shrink_to_fit();
  return packed;
}
Entry Unpack(const std::string& packed, std::uint64_t seq) {
  Entry entry;
  Unpacker unpacker(packed);
  unpacker(entry.record, entry.of, entry.prune_goal);
  entry.seq = seq;
  return entry;
}

}  // namespace

std::uint64_t Queue::Push(Entry entry, std::size_t bytes) {
  entry.seq = next_seq_++;
  bytes_ += bytes;
  Waiting& last = waiting_.emplace_back();
  last.bytes = bytes;
  if (waiting_.size() > kPlain && CanPack(entry)) {
    last.packed = Pack(entry);
  } else {
    last.entry = std::make_unique<Entry>(std::move(entry));
  }
  return next_seq_ - 1;
}

bool Queue::Amend(std::uint64_t seq, const std::function<void(Record&)>& change) {
  if (seq >= first_waiting() && seq < next_seq_) {
    Waiting& found = waiting_[seq - first_waiting()];
    if (found.entry != nullptr) {
      change(found.entry->record);
    } else {
      Entry entry = Unpack(found.packed, seq);
      change(entry.record);
      found.packed = Pack(entry);
    }
    return true;
  }
  if (writing_ || group_.empty() || seq < group_.front().seq || seq > group_.back().seq)
    return false;
  change(group_[seq - group_.front().seq].record);
  return true;
}

void Queue::BeginWriting(std::size_t max_group) {
  writing_ = true;
  if (!group_.empty() || !group_documents_.empty()) return;
  std::swap(documents_, group_documents_);
  while (!waiting_.empty() && group_.size() < max_group) {
    const std::uint64_t seq = first_waiting();
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    group_bytes_ += next.bytes;
    group_.push_back(next.entry != nullptr ? std::move(*next.entry) : Unpack(next.packed, seq));
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
