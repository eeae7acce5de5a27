// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/rooms.h"

#include <utility>

#include "broker/exec/task.h"
#include "broker/rooms/ask_errand.h"
#include "lib/sys/process.h"

namespace cellrun::rooms {

Rooms::Rooms(Services services, std::string cell_id, std::shared_ptr<Shelf> scripts)
    : services_(services),
      cell_id_(std::move(cell_id)),
      examiner_(std::make_shared<Examiner>(std::move(scripts), services.hashes)),
      self_(std::make_shared<Rooms*>(this)) {}

Rooms::~Rooms() {
  self_.reset();
  examiner_->Stop();
  rooms_.clear();
}

exec::Admit Rooms::Door() {
  return [loop = &services_.loop, weak = std::weak_ptr(self_)](exec::Waiter waiter) {
    // A std::function must be copyable.
    auto shared = std::make_shared<exec::Waiter>(std::move(waiter));
    loop->Post([weak, shared] {
      if (const auto self = weak.lock()) (*self)->Open(std::move(*shared));
    });
  };
}

void Rooms::Open(exec::Waiter waiter) {
  const std::uint64_t number = next_number_++;
  auto errand = std::make_unique<AskErrand>(std::move(waiter.asked), std::move(waiter.shelved));
  Room& room = *rooms_
                    .emplace(number, std::make_unique<Room>(*this, number, std::move(waiter),
                                                            std::move(errand)))
                    .first->second;
  room.Begin();
}

void Rooms::Remove(std::uint64_t number) {
  const auto found = rooms_.find(number);
  if (found == rooms_.end()) return;
  // It is usually the room that calls.
  services_.loop.Post([room = std::shared_ptr<Room>(std::move(found->second))] {});
  rooms_.erase(found);
}

void Rooms::Examine(std::shared_ptr<exec::AskedExec> asked,
                    std::function<void(Examined examined)> done) {
  examinations_.push_back({std::move(asked), std::move(done)});
  ExamineNext();
}

void Rooms::ExamineNext() {
  if (examining_ || examinations_.empty()) return;
  examining_ = true;
  Examination next = std::move(examinations_.front());
  examinations_.pop_front();
  services_.pool.Do([loop = &services_.loop, weak = std::weak_ptr(self_), examiner = examiner_,
                     next = std::move(next)] {
    auto examined = std::make_shared<Examined>(examiner->Examine(*next.asked));
    loop->Post([weak, examined, done = next.done] {
      const auto self = weak.lock();
      if (!self) return;
      (*self)->examining_ = false;
      (*self)->ExamineNext();
      done(std::move(*examined));
    });
  });
}

void Rooms::KeepFor(const exec::Waiter& waiter, std::shared_ptr<Shelf::Lease> lease) {
  Result<UniqueFd> process = sys::PidfdOpen(waiter.pid);
  const Result<std::uint64_t> start = exec::StartTime(waiter.pid);
  if (!process.ok() || !start.ok() || *start != waiter.start_time) return;  // it is gone
  const std::uint64_t number = next_number_++;
  Reader& reader = readers_[number];
  reader.process = std::move(*process);
  reader.lease = std::move(lease);
  reader.ended =
      services_.loop.WatchReadable(reader.process, [this, number] { readers_.erase(number); });
}

}  // namespace cellrun::rooms
