// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/run/capture.h"
#include "broker/run/ghost.h"
#include "lib/base/result.h"

namespace cellrun::run {

// Runs external checkers (`check:` of a rule), each in a cell of its own: the host's programs, the
// workspace to read, no network, nothing to write. A few at a time for each cell that asks. Only on
// the loop's thread.
class Checkers {
 public:
  using Done = std::function<void(Result<std::string> printed)>;
  // `broker` is called for each run; `on_gone` whenever a cell that this made is gone.
  Checkers(std::function<Ghost::Broker()> broker, std::function<void()> on_gone)
      : broker_(std::move(broker)), on_gone_(std::move(on_gone)) {}
  ~Checkers() = default;
  Checkers(const Checkers&) = delete;
  Checkers& operator=(const Checkers&) = delete;

  // `done` gets what it printed, once, or why that does not count; never if the caller ends before.
  void Run(const std::string& caller, const std::string& command, std::string request, Done done);
  void CellEnded(const std::string& caller);

 private:
  struct Order {
    std::string command, request;
    Done done;
  };
  struct Running {
    std::string caller;
    Done done;  // null: told already, or nobody wants to know
    std::unique_ptr<Capture> out, err;
    std::unique_ptr<loop::Loop::Timer> deadline;
    std::unique_ptr<Ghost> ghost;
  };
  struct Caller {
    std::deque<Order> waiting;
    int running = 0;
  };
  void StartNext(const std::string& caller);
  Result<void> Start(std::uint64_t id, Running& running, const Order& order);
  void OnGone(std::uint64_t id, const wire::ExitReport& report);
  void Tell(std::uint64_t id, Result<std::string> printed);

  std::function<Ghost::Broker()> broker_;
  std::function<void()> on_gone_;
  std::uint64_t next_ = 1;
  std::map<std::string, Caller> callers_;
  std::map<std::uint64_t, Running> running_;
};

}  // namespace cellrun::run
