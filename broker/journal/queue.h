// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/journal/encode.h"
#include "broker/journal/store.h"

namespace cellrun::journal {

// What waits for the disk, in order: the group that is being written, and what came after. What
// comes behind a whole group is kept in a row of bytes, a sixth of the memory: when thousands of
// processes want a processor, the writer gets one rarely. Sequence numbers are given here and have
// no gaps. Not thread-safe.
class Queue {
 public:
  Queue(std::size_t max_records, std::size_t max_bytes, std::uint64_t next_seq)
      : max_records_(max_records), max_bytes_(max_bytes), next_seq_(next_seq) {}

  [[nodiscard]] bool HasRoom(std::size_t bytes) const {
    return group_.size() + waiting_.size() < max_records_ && bytes_ + bytes <= max_bytes_;
  }
  // Follow-ups and the journal's own notes have as much room again: each is about a record that was
  // let in.
  [[nodiscard]] bool HasRoomForNotes() const {
    return group_.size() + waiting_.size() < 2 * max_records_;
  }
  std::uint64_t Push(Entry entry, std::size_t bytes);
  void PushDocument(KeptDocument document) { documents_.push_back(std::move(document)); }
  [[nodiscard]] std::size_t documents() const {
    return documents_.size() + group_documents_.size();
  }

  // Changes a record that is not yet being written. False: it is, or was.
  bool Amend(std::uint64_t seq, const std::function<void(Record&)>& change);

  // Moves what comes next into the group, unless one is still there (its commit failed). It may be
  // read without a lock until EndWriting.
  void BeginWriting(std::size_t max_group);
  void EndWriting(bool written);
  [[nodiscard]] const std::vector<Entry>& group() const { return group_; }
  [[nodiscard]] const std::vector<KeptDocument>& group_documents() const {
    return group_documents_;
  }

  [[nodiscard]] bool empty() const {
    return waiting_.empty() && group_.empty() && documents() == 0;
  }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t records() const { return waiting_.size() + group_.size(); }
  [[nodiscard]] std::uint64_t next_seq() const { return next_seq_; }

 private:
  struct Waiting {
    std::unique_ptr<Entry> entry;  // null: packed
    std::string packed;
    std::size_t bytes = 0;
  };
  // More than a group: nothing is packed as long as the writer keeps up.
  static constexpr std::size_t kPlain = 512;
  [[nodiscard]] std::uint64_t first_waiting() const { return next_seq_ - waiting_.size(); }
  std::size_t max_records_, max_bytes_;
  std::uint64_t next_seq_;
  std::deque<Waiting> waiting_;
  std::vector<Entry> group_;
  std::vector<KeptDocument> documents_, group_documents_;
  std::size_t bytes_ = 0, group_bytes_ = 0;
  bool writing_ = false;
};

}  // namespace cellrun::journal
