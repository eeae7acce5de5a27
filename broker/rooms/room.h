// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "broker/exec/channel.h"
#include "broker/exec/waiter.h"
#include "broker/loop/loop.h"

namespace cellrun::rooms {

class Rooms;

// One process that waits in the shim, and the broker's end of its channel. What it waits for is its
// errand's affair: an answer of a person first, perhaps then a command that runs elsewhere. Only on
// the loop's thread.
class Room {
 public:
  class Errand {
   public:
    virtual void Begin(Room& room) = 0;  // once, before the others
    // What it was told to execute could not be executed; it waits again.
    virtual void OnExecFailed(Room& room, int code) = 0;
    // End of file: it is dead, or has become what it was told to. The room goes after this.
    virtual void OnLeft(Room& room) = 0;

    virtual ~Errand() = default;
    Errand(const Errand&) = delete;
    Errand& operator=(const Errand&) = delete;

   protected:
    Errand() = default;
  };

  Room(Rooms& rooms, std::uint64_t number, exec::Waiter waiter, std::unique_ptr<Errand> errand);
  ~Room() = default;
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  void Begin() { errand_->Begin(*this); }

  // ---- For errands.

  // Text on its stderr; it goes on waiting, for `left` more (0: nobody knows).
  void Wait(const std::string& text, std::chrono::milliseconds left);
  // Lets it execute this and nothing else. Null: judged like anybody's exec.
  void Execute(const exec::ShimCommand& command, std::shared_ptr<const exec::Sealed> sealed);
  // The end: text on its stderr, and its exit status.
  void Leave(const std::string& text, int status = exec::kDeniedStatus);
  // The end here: its process becomes the shim of a command that runs elsewhere.
  void HandOver(std::shared_ptr<exec::AskedExec> approved);
  // Another errand begins; the one that calls is destroyed after it has returned.
  void Become(std::unique_ptr<Errand> errand);

  [[nodiscard]] exec::Waiter& waiter() { return waiter_; }
  [[nodiscard]] Rooms& rooms() { return rooms_; }

 private:
  void OnReadable();
  void Close();

  Rooms& rooms_;
  const std::uint64_t number_;
  exec::Waiter waiter_;
  std::unique_ptr<Errand> errand_;
  bool closed_ = false;
  std::unique_ptr<loop::Loop::Watch> watch_;
};

}  // namespace cellrun::rooms
