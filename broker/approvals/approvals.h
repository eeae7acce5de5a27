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
#include "broker/approvals/rules.h"
#include "broker/approvals/store.h"
#include "broker/journal/record.h"
#include "broker/loop/loop.h"

namespace cellrun::approvals {

// The queue of a broker: the book of asks and the remembered rules, with the loop's clock, the
// journal, the store, and whoever follows. Only on the loop's thread.
class Approvals final : public Queue {
 public:
  // Denies what waited when the last broker ended. EPERM, EBADMSG: see Store::Open.
  static Result<std::unique_ptr<Approvals>> Open(loop::Loop& loop, journal::Sink& journal,
                                                 const std::string& state_directory);
  ~Approvals() override;

  Submission Submit(PackedAsk ask, Decided decided) override;
  void Withdraw(std::uint64_t waiter) override;
  void ForgetCell(const std::string& cell_id) override;

  // What came of an answer. `entry` is the ask as it is afterwards, or as it was found.
  struct Outcome {
    Book::Refusal refusal = Book::Refusal::kNone;
    std::optional<Entry> entry;
    std::optional<Book::Past> past;
    std::string problem;  // the answer cannot be recorded or stored, so it does not count
  };
  // The rule that this answer would store, and until when. EINVAL: none can be made.
  struct Proposal {
    std::string text;
    std::optional<std::chrono::system_clock::time_point> expires;
  };
  [[nodiscard]] static Result<Proposal> Propose(const Entry& entry, const Answer& answer,
                                                const Approver& approver,
                                                const std::string& rule_id);

  // Somebody looks at what waits.
  void Look();
  Outcome Take(const std::string& id, const Answer& answer, const Approver& approver);

  [[nodiscard]] const Book& book() const { return book_; }
  [[nodiscard]] const Rules& rules() const { return rules_; }
  [[nodiscard]] Store& store() { return *store_; }

  // Takes a rule back. Nothing: there is no such rule, or several begin like that.
  std::optional<Rule> Revoke(const std::string& id, const Approver& by);
  // Called with each rule that comes or goes, before an answer that brought it takes effect.
  void OnRules(std::function<void(const Rule& rule)> changed) { on_rules_ = std::move(changed); }

  // Called whenever an ask comes, changes or ends; nobody looks at it by that.
  void OnChanges(std::function<void()> changed) { on_changes_ = std::move(changed); }

  // Calls `changed` with each ask that comes, changes or ends, until the Subscription is destroyed.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  using Changed = std::function<void(const Entry& entry)>;
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(Changed changed);

 private:
  class Follower;
  Approvals(loop::Loop& loop, journal::Sink& journal, Store::Opened opened, std::string directory);
  static Now Time();
  // Tells everybody; may be entered again by what it calls.
  void Apply(Book::Changes changes);
  void Tell(const Entry& entry);
  void ArmTimer();
  bool RecordAsked(const Entry& entry);
  bool RecordAnswer(const Entry& entry, const Answer& answer, const Approver& approver);
  void RecordMismatch(const Entry& entry, const Answer& answer, const Approver& approver);
  void RecordTooLate(const std::string& id, const Book::Past& past, const Approver& approver);
  void RecordEnd(const Entry& entry);
  void RecordOrphan(const Store::Orphan& orphan);
  bool RecordRule(const Rule& rule, const char* result, const std::string& by);
  [[nodiscard]] Result<Rule> MakeRule(const Entry& entry, const Answer& answer,
                                      const Approver& approver) const;
  void Remember(const Rule& rule);
  void RulesChanged(const Rule& rule);
  void ExpireRules();
  void ArmRuleTimer();

  loop::Loop& loop_;
  journal::Sink& journal_;
  std::unique_ptr<Store> store_;
  Book book_;
  Rules rules_;
  std::function<void(const Rule& rule)> on_rules_;
  std::function<void()> on_changes_;
  std::unordered_map<std::uint64_t, Decided> decided_;
  std::map<std::uint64_t, Changed> followers_;
  std::uint64_t next_follower_ = 1;
  std::unique_ptr<loop::Loop::Timer> timer_, rule_timer_;
  std::optional<std::chrono::steady_clock::time_point> timer_at_;
};

}  // namespace cellrun::approvals
