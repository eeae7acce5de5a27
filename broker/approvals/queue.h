// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>

#include "broker/approvals/packed_ask.h"

namespace cellrun::approvals {

// The asks that wait for a person. Only on the loop's thread.
class Queue {
 public:
  // Called once, on the loop's thread, never from within Submit.
  using Decided = std::function<void(const Decision& decision)>;

  struct Submission {
    // Refused at once (too many pending, asked again too soon after a denial, nobody to ask): then
    // there is no id and `decided` is not called.
    std::optional<Decision> refusal;
    std::string id;                     // of the ask; identical asks of one cell share it
    std::uint64_t waiter = 0;           // for Withdraw
    std::chrono::milliseconds left{0};  // until it expires
  };
  // One process waits. Several with the same digest and cell wait under one id: an approval `once`
  // lets the one run that came first, a denial is for all of them.
  virtual Submission Submit(PackedAsk ask, Decided decided) = 0;
  // The process has gone: its `decided` is not called any more.
  virtual void Withdraw(std::uint64_t waiter) = 0;
  // The cell has ended: so have its asks, and what was remembered for it.
  virtual void ForgetCell(const std::string& cell_id) = 0;

  virtual ~Queue() = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

 protected:
  Queue() = default;
};

}  // namespace cellrun::approvals
