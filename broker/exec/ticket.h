// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/exec/sealed.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

struct AskedExec;
class ShelvedExec;

// What a waiting room may do: one process, once. Made while the process is stopped in the exec of
// the shim, so it cannot be anybody else; number and start time together are never used again.
struct Ticket {
  enum class Purpose : std::uint8_t {
    kExplain,  // says `explanation` and leaves
    kExecute,  // executes what is sealed
    kAsk,      // waits for what a person says; may do nothing yet
  };
  Purpose purpose = Purpose::kExplain;
  std::uint64_t start_time = 0;
  std::uint64_t number =
      0;  // of the ticket, given by Tickets: a process may hold one after another
  std::shared_ptr<const Sealed> sealed;  // of kExecute
  // What is told when the process takes its channel, and no longer needed then.
  struct Message {
    std::string explanation;               // of kExplain
    std::vector<std::string> environment;  // of kExecute
    // Of kAsk, one of the two. Thousands can wait for a processor to take it: what can be shelved
    // is.
    std::shared_ptr<AskedExec> asked;
    std::shared_ptr<const ShelvedExec> shelved;
  };
  std::shared_ptr<Message> message = std::make_shared<Message>();
  bool has_channel = false;
};

// Thread-safe.
class Tickets {
 public:
  void Add(pid_t tgid, Ticket ticket);
  // The ticket of a process that asks for its channel; marked, so that it gets it once.
  std::optional<Ticket> TakeChannel(pid_t pid);
  // The ticket of a process that makes an exec: gone afterwards, whatever the exec is. Nothing if
  // the process holds none.
  std::optional<Ticket> TakeExec(pid_t pid);
  // For a process that waits with this ticket, and with this one only: the one exec that it may do.
  // Null: it holds none any more, and its next exec is judged like anybody's.
  void Grant(pid_t tgid, std::uint64_t number, std::shared_ptr<const Sealed> sealed);
  [[nodiscard]] std::size_t size() const noexcept { return count_; }

 private:
  static constexpr std::size_t kFirstSweep = 64;

  std::mutex mutex_;
  using Held = std::vector<std::pair<pid_t, Ticket>>;
  Held::iterator Find(pid_t pid);  // end(): none

  // Sorted; guarded by mutex_. In a row, because they stay for as long as a person needs: one by
  // one among what an exec takes for a moment, each would keep a page from being given back.
  Held tickets_;
  std::uint64_t next_number_ = 1;       // likewise
  std::size_t sweep_at_ = kFirstSweep;  // likewise
  std::atomic<std::size_t> count_{0};   // to look without the mutex
};

}  // namespace cellrun::exec
