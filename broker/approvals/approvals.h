// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/approvals/book.h"
#include "broker/approvals/queue.h"
#include "broker/journal/record.h"
#include "broker/loop/loop.h"

namespace cellrun::approvals {

// The queue of a broker: the book of asks, with the loop's clock, the journal, and whoever follows.
// Only on the loop's thread.
class Approvals final : public Queue {
 public:
  Approvals(loop::Loop& loop, journal::Sink& journal);
  ~Approvals() override;

  Submission Submit(Ask ask, Decided decided) override;
  void Withdraw(std::uint64_t waiter) override;
  void ForgetCell(const std::string& cell_id) override;

  // What came of an answer. `entry` is the ask as it is afterwards, or as it was found.
  struct Outcome {
    Book::Refusal refusal = Book::Refusal::kNone;
    std::optional<Entry> entry;
    std::optional<Book::Past> past;
    std::string problem;  // the answer cannot be recorded or stored, so it does not count
  };
  Outcome Take(const std::string& id, const Answer& answer, const Approver& approver);

  [[nodiscard]] const Book& book() const { return book_; }

  // Calls `changed` with each ask that comes, changes or ends, until the Subscription is destroyed.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  using Changed = std::function<void(const Entry& entry)>;
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Changed changed);

 private:
  class Follower;
  static Now Time();
  // Tells everybody; may be entered again by what it calls.
  void Apply(Book::Changes changes);
  void Tell(const Entry& entry);
  void ArmTimer();
  bool RecordAsked(const Entry& entry);
  bool RecordAnswer(const Entry& entry, const Answer& answer, const Approver& approver);
  void RecordMismatch(const Entry& entry, const Answer& answer, const Approver& approver);
  void RecordEnd(const Entry& entry);

  loop::Loop& loop_;
  journal::Sink& journal_;
  Book book_;
  std::unordered_map<std::uint64_t, Decided> decided_;
  std::map<std::uint64_t, Changed> followers_;
  std::uint64_t next_follower_ = 1;
  std::unique_ptr<loop::Loop::Timer> timer_;
  std::optional<std::chrono::steady_clock::time_point> timer_at_;
};

}  // namespace cellrun::approvals
