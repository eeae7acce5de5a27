// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>
#include <sys/types.h>

// What init spawned and has not reaped. Orphans of the cell and children that somebody gave it with
// CLONE_PARENT are not on record: they are reaped in silence and cannot be signalled by order.
namespace cellrun::shim {

struct ChildRecord {
  pid_t pid;
  uint32_t order;    // id
  int failure_pipe;  // -1 once it has been read
  bool is_main;
};

constexpr unsigned kMaxChildren = 512;

class Children {
 public:
  [[nodiscard]] bool full() const { return count_ == kMaxChildren; }
  [[nodiscard]] unsigned count() const { return count_; }
  [[nodiscard]] ChildRecord& at(unsigned index) { return records_[index]; }

  void Add(const ChildRecord& record) { records_[count_++] = record; }  // not when full
  void Remove(ChildRecord& record) { record = records_[--count_]; }
  // nullptr: not ours.
  [[nodiscard]] ChildRecord* Find(pid_t pid) {
    for (unsigned i = 0; i < count_; i++) {
      if (records_[i].pid == pid) return &records_[i];
    }
    return nullptr;
  }

 private:
  ChildRecord records_[kMaxChildren];
  unsigned count_ = 0;
};

}  // namespace cellrun::shim
