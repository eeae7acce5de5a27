// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/approvals/queue.h"
#include "broker/exec/waiter.h"
#include "broker/journal/record.h"
#include "broker/loop/loop.h"
#include "broker/loop/pool.h"
#include "broker/rooms/check_answer.h"
#include "broker/rooms/examination.h"
#include "broker/rooms/room.h"

namespace cellrun::rooms {

// The waiting processes of one cell. Only on the loop's thread; destroyed before the cell's
// supervisor.
class Rooms {
 public:
  struct Services {
    loop::Loop& loop;
    loop::Pool& pool;
    journal::Sink& journal;
    approvals::Queue& approvals;
    exec::Admit elsewhere = {};  // takes over what was approved, and runs elsewhere
    RunChecker check = {};       // null: what a checker has to agree to is denied
    std::shared_ptr<exec::KnownHashes> hashes = {};  // may be null
  };
  // `scripts`: where copies of scripts are put (Shelf).
  Rooms(Services services, std::string cell_id, std::shared_ptr<Shelf> scripts);
  ~Rooms();
  Rooms(const Rooms&) = delete;
  Rooms& operator=(const Rooms&) = delete;

  // For CellFacts: may be called on any thread, also when the Rooms are gone.
  [[nodiscard]] exec::Admit Door();

  // ---- For rooms and errands.

  // Examiner::Examine on a thread of the pool, then `done` on the loop's. One after the other: a
  // cell cannot keep others from theirs. Whoever has gone meanwhile must not be touched by `done`.
  using Examined = Result<std::shared_ptr<Shelf::Lease>>;
  void Examine(std::shared_ptr<exec::AskedExec> asked, std::function<void(Examined examined)> done);
  // The copy stays as long as this process lives.
  void KeepFor(const exec::Waiter& waiter, std::shared_ptr<Shelf::Lease> lease);
  void Remove(std::uint64_t number);
  [[nodiscard]] const Services& services() const { return services_; }
  [[nodiscard]] std::size_t size() const { return rooms_.size(); }

 private:
  struct Examination {
    std::shared_ptr<exec::AskedExec> asked;
    std::function<void(Examined examined)> done;
  };
  struct Reader {
    UniqueFd process;
    std::shared_ptr<Shelf::Lease> lease;
    std::unique_ptr<loop::Loop::Watch> ended;
  };
  void Open(exec::Waiter waiter);
  void ExamineNext();

  Services services_;
  const std::string cell_id_;
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, std::unique_ptr<Room>> rooms_;
  const std::shared_ptr<Examiner> examiner_;
  std::map<std::uint64_t, Reader> readers_;
  std::deque<Examination> examinations_;
  bool examining_ = false;
  // Gone when this is gone: what was posted for it does nothing then.
  std::shared_ptr<Rooms*> self_;
};

}  // namespace cellrun::rooms
