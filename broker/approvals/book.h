// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "broker/approvals/packed_ask.h"

namespace cellrun::approvals {

// A moment on both clocks: deadlines are monotonic, what people read is not.
struct Now {
  std::chrono::steady_clock::time_point steady;
  std::chrono::system_clock::time_point wall;
};

// Who answers.
struct Approver {
  uid_t uid = 0;
  pid_t pid = 0;
  std::string terminal;                        // "pts/3"; "" for none
  [[nodiscard]] std::string ToString() const;  // "uid 1000 on pts/3"
};

// An answer as it came.
struct Answer {
  bool approve = false;
  std::string digest;  // of the ask as the person saw it
  Scope scope = Scope::kOnce;
  std::optional<std::chrono::milliseconds> for_time;
  std::string reason;
  std::optional<std::vector<std::string>> argv;  // instead of the ask's
  bool widen = false;                            // the rule does not pin the image's hash
};

struct Answered {
  std::string by;
  std::chrono::system_clock::time_point at;
  Scope scope = Scope::kOnce;
  std::string reason;
  bool edited = false;
  std::chrono::milliseconds after{0};
};

// One ask and the processes that wait for it.
struct Entry {
  std::string id;      // 8 hex digits
  std::string digest;  // 64 hex digits
  PackedAsk ask;
  State state = State::kPending;
  std::chrono::system_clock::time_point created, expires;
  std::chrono::steady_clock::time_point asked, deadline;
  std::vector<std::uint64_t> waiters;      // in the order in which they came
  std::vector<Approver> approved_by;       // where several people must
  std::shared_ptr<const Answered> answer;  // null: none yet
  std::uint64_t order = 0;
  std::size_t bytes = 0;  // about so much memory
  bool unseen = false;    // ends early unless somebody looks
};

// The asks of all cells: what they wait for, what an answer means for whom. Pure: no clock, no
// files, no callbacks; whoever calls it does what it says.
class Book {
 public:
  struct Limits {
    std::size_t waiters_of_cell = 1024;
    std::size_t bytes_of_cell = std::size_t{4} << 20;
    std::size_t bytes = std::size_t{32} << 20;
    std::chrono::milliseconds cooldown{10'000};
    std::size_t cooldowns_of_cell = 256;
    // For how long one waits that nobody is known to look at; and for how long somebody who looked
    // counts as being there, or nobody as not.
    std::chrono::milliseconds unseen{10'000};
    std::chrono::minutes looked{10};
  };
  using NewId = std::function<std::string()>;
  // `last_order`: of the asks that there were before.
  Book(Limits limits, NewId new_id, std::uint64_t last_order = 0);

  // What happened, in order.
  struct Changes {
    std::vector<std::pair<std::uint64_t, Decision>> decided;  // waiters
    std::vector<Entry> ended;
    std::vector<std::string> changed;  // ids of pending asks that are new or different
  };

  struct Submitted {
    std::optional<Decision> refusal;  // then the rest is empty
    std::uint64_t waiter = 0;
    std::string id;
    bool joined = false;  // it was asked already
    std::chrono::milliseconds left{0};
  };
  Submitted Submit(PackedAsk packed, const Now& now);
  Changes Withdraw(std::uint64_t waiter, const Now& now);
  Changes ForgetCell(const std::string& cell_id, const Now& now);
  // Somebody looks at what waits: it waits as long as it should.
  Changes Look(const Now& now);
  // What nobody answered in time.
  Changes Expire(const Now& now);
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> NextDeadline() const;

  // Why an answer cannot be taken.
  enum class Refusal : std::uint8_t {
    kNone,
    kUnknown,     // no such ask
    kOver,        // answered, expired or withdrawn already
    kChanged,     // not the digest of the ask
    kSamePerson,  // has approved before; another one is needed
    kNotRememberable,
    kNotEditable,  // several must approve, or the edit is no command
  };
  [[nodiscard]] Refusal Check(const std::string& id, const Answer& answer,
                              const Approver& approver) const;
  // Check said kNone. An approval of which others are missing only changes the ask.
  Changes Take(const std::string& id, const Answer& answer, const Approver& approver,
               const Now& now);
  // Whether this approval would be the last one that is needed.
  [[nodiscard]] bool Completes(const Entry& entry) const;

  // By id or unique start of one. Null: none pending.
  [[nodiscard]] const Entry* Find(const std::string& prefix) const;
  [[nodiscard]] bool Ambiguous(const std::string& prefix) const;
  // Asks that have ended lately: what became of them.
  struct Past {
    State state = State::kDenied;
    std::string by, next;  // next: the id under which identical asks wait on
    std::string cell, program;
  };
  // By its place in the order. Null: it is over.
  [[nodiscard]] const Entry* At(std::uint64_t order) const;
  [[nodiscard]] const Past* FindPast(const std::string& id) const;
  // Oldest first.
  [[nodiscard]] const std::map<std::uint64_t, Entry>& entries() const { return entries_; }
  [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
  struct Cooldown {
    std::chrono::steady_clock::time_point until;
    std::string reason, by;
  };
  struct Cell {
    std::map<std::string_view, std::uint64_t> pending;  // digest, of its entry → order
    std::size_t bytes = 0, waiters = 0;
    std::map<std::string, Cooldown> cooldowns;  // by digest
  };
  std::optional<Decision> RefusalOf(const Ask& ask, const std::string& digest, std::size_t bytes,
                                    const Now& now);
  std::optional<Decision> Cooling(Cell& cell, const std::string& digest, const Now& now);
  Entry& Add(Entry entry);
  Entry Remove(std::uint64_t order);
  void End(std::uint64_t order, State state, Answered answer, const Decision& decision,
           Changes& changes);
  void Approve(std::uint64_t order, const Answer& answer, const Approver& approver, const Now& now,
               Changes& changes);
  void Remember(const Entry& entry, const std::string& next);
  std::string FreshId();

  const Limits limits_;
  const NewId new_id_;
  std::map<std::uint64_t, Entry> entries_;
  std::map<std::string, std::uint64_t> ids_;
  std::set<std::pair<std::chrono::steady_clock::time_point, std::uint64_t>> deadlines_;
  std::unordered_map<std::uint64_t, std::uint64_t> waiters_;  // → order
  std::map<std::string, Cell> cells_;
  std::map<std::string, Past> past_;
  std::deque<std::string> past_order_;
  std::uint64_t next_order_ = 1, next_waiter_ = 1;
  std::size_t bytes_ = 0, unseen_ = 0;
  std::optional<std::chrono::steady_clock::time_point> looked_, missed_;
};

}  // namespace cellrun::approvals
