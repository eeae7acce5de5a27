// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "broker/approvals/queue.h"
#include "broker/exec/judged_cell.h"
#include "broker/loop/loop.h"
#include "broker/loop/pool.h"
#include "broker/rooms/rooms.h"

// For tests: a JudgedCell whose asks go to a queue that the test answers.
namespace cellrun::rooms {

approvals::Decision Approved(std::vector<std::string> argv);

class FakeQueue final : public approvals::Queue {
 public:
  explicit FakeQueue(loop::Loop& loop) : loop_(loop) {}

  Submission Submit(approvals::PackedAsk packed, Decided decided) override;
  void Withdraw(std::uint64_t waiter) override;
  void ForgetCell(const std::string& /*cell_id*/) override {}

  // ---- On any thread.

  // Waits for the next ask (the first, then the second, …).
  approvals::Ask Next();
  void Answer(approvals::Decision decision);  // the last that Next() gave
  void Approve();
  void Deny(std::string reason);
  [[nodiscard]] std::size_t pending() const;
  void AwaitPending(std::size_t count);
  // Denied at once, and not given to Next().
  std::function<bool(const approvals::Ask&)> denies;
  // Answers everything at once from now on.
  std::function<approvals::Decision(const approvals::Ask&)> at_once;

 private:
  loop::Loop& loop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<approvals::Ask> asks_;
  std::size_t given_ = 0;
  std::map<std::uint64_t, Decided> waiting_;
};

class AskedCell {
 public:
  AskedCell();
  ~AskedCell();
  AskedCell(const AskedCell&) = delete;
  AskedCell& operator=(const AskedCell&) = delete;

  // Asks for images whose path ends with `name`.
  void AskFor(std::string name);
  // As JudgedCell::Run. `outside` runs meanwhile, in this process; it gets the pid of the cell's
  // init.
  int Run(const std::function<int()>& body, const std::function<void(pid_t init)>& outside);

  exec::JudgedCell cell;
  std::chrono::milliseconds timeout{100'000};
  policy::Rewrite rewrite;
  // After Run: nothing is left.
  std::size_t rooms_left = 0;

  loop::Loop loop;
  loop::Pool pool{2};
  FakeQueue queue{loop};

 private:
  std::thread thread_;
};

// Waits until `holds`; fails the test after 30 s.
void Await(const char* what, const std::function<bool()>& holds);

}  // namespace cellrun::rooms
