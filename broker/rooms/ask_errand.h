// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "broker/approvals/queue.h"
#include "broker/exec/shelved_exec.h"
#include "broker/exec/waiter.h"
#include "broker/rooms/checks.h"
#include "broker/rooms/room.h"
#include "broker/rooms/shelf.h"

namespace cellrun::rooms {

// Waits for what a person says about one exec, and lets its process do exactly that. What turns out
// to be different when it is done is refused, and asked anew.
class AskErrand final : public Room::Errand {
 public:
  // What a waiter brings: one of the two.
  AskErrand(std::shared_ptr<exec::AskedExec> asked,
            std::shared_ptr<const exec::ShelvedExec> shelved);
  ~AskErrand() override;

  void Begin(Room& room) override;
  void OnExecFailed(Room& room, int code) override;
  void OnLeft(Room& room) override;

 private:
  void Check(Room& room);
  exec::AskedExec& Asked();
  approvals::PackedAsk Shelve();
  void Submit(Room& room);
  void DenyBecause(Room& room, std::string why, const char* by = "cellrun");
  void DenyUnheard(Room& room);
  void Decide(Room& room, const approvals::Decision& decision);
  void Approve(Room& room, const approvals::Decision& decision);
  void Deny(Room& room, const approvals::Decision& decision);
  void AskAnew(Room& room, const std::string& why);
  void SetResult(Room& room, const char* result);
  void Withdraw();

  std::shared_ptr<exec::AskedExec> asked_;  // null while it is shelved
  std::shared_ptr<const exec::ShelvedExec> shelved_;
  std::unique_ptr<Checks> checks_;
  approvals::Queue* queue_ = nullptr;  // as long as it waits there
  std::uint64_t waiter_ = 0;
  std::string id_;
  bool decided_ = false;
  std::shared_ptr<Shelf::Lease> copy_;      // of its script, where there is one
  std::shared_ptr<exec::Refusal> refusal_;  // of what was let through
  std::shared_ptr<AskErrand*> self_;
};

}  // namespace cellrun::rooms
