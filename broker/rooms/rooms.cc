// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/rooms.h"

#include <utility>

#include "broker/rooms/ask_errand.h"

namespace cellrun::rooms {

Rooms::Rooms(Services services, std::string cell_id)
    : services_(services), cell_id_(std::move(cell_id)), self_(std::make_shared<Rooms*>(this)) {}

Rooms::~Rooms() {
  self_.reset();
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
  auto errand = std::make_unique<AskErrand>(waiter.asked);
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

void Rooms::Examine(std::function<void()> work, std::function<void()> done) {
  examinations_.push_back({std::move(work), std::move(done)});
  ExamineNext();
}

void Rooms::ExamineNext() {
  if (examining_ || examinations_.empty()) return;
  examining_ = true;
  Examination next = std::move(examinations_.front());
  examinations_.pop_front();
  services_.pool.Do([loop = &services_.loop, weak = std::weak_ptr(self_), next = std::move(next)] {
    next.work();
    loop->Post([weak, done = next.done] {
      const auto self = weak.lock();
      if (!self) return;
      (*self)->examining_ = false;
      (*self)->ExamineNext();
      done();
    });
  });
}

}  // namespace cellrun::rooms
