// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "broker/cells/cell.h"
#include "broker/cells/policy_store.h"
#include "broker/cells/registry.h"
#include "broker/run/builder.h"
#include "broker/run/secret.h"
#include "broker/run/veil.h"

namespace cellrun::run {

// A sibling cell for one command that was approved: the caller's workspace at the same path, and
// the rights that a rule names. The launcher, executed by the broker, builds it; it ends with its
// owner. Only on the loop's thread.
class Ghost {
 public:
  struct Broker {
    loop::Loop& loop;
    cells::Services services;  // of its cell
    cells::Registry& registry;
    cells::PolicyStore& policies;
    Veil& veil;
  };
  struct Order {
    cells::Cell& caller;
    const policy::Ghost& rights;
    policy::RuleReference rule;  // that names the rights
    std::vector<std::string> argv;
    std::string directory;
    std::uint64_t exec = 0;                 // number of the command's record
    const SecretValues* secrets = nullptr;  // those that are files are put into it
    // Given: it runs `argv` by itself, with these as its streams, and writes nowhere.
    std::vector<UniqueFd> streams = {};
    std::vector<std::string> read = {};  // beside what the caller's cell may
  };
  struct Callbacks {
    std::function<void()> ready;
    std::function<void(const std::string& why)> failed;  // before `ready`, or it was lost
    // Last, from the loop: the Ghost may be destroyed in it.
    std::function<void(const wire::ExitReport& report)> gone;
    // It has run for as long as it may; it ends now.
    std::function<void(std::chrono::milliseconds limit)> timed_out = {};
  };
  static Result<std::unique_ptr<Ghost>> Start(Broker broker, Order order, Callbacks callbacks);
  ~Ghost();
  Ghost(const Ghost&) = delete;
  Ghost& operator=(const Ghost&) = delete;

  [[nodiscard]] cells::Cell& cell() { return *cell_; }
  [[nodiscard]] std::string path() const;  // PATH of its commands
  [[nodiscard]] const std::string& home() const { return cell_->setup().request.home; }
  void End();
  void EndForOutput();  // it has printed more than it may

 private:
  Ghost(Broker broker, Callbacks callbacks) : broker_(broker), callbacks_(std::move(callbacks)) {}
  Result<void> Plan(Order order);
  [[nodiscard]] policy::Checked<std::shared_ptr<const policy::Policy>> PolicyFor(
      const Order& order, const policy::Places& places) const;
  void OnStarted(UniqueFd pidfd, const std::vector<std::string>& lost_layers);
  void Fail(const std::string& why);
  void OnCellEnd(const wire::ExitReport& report);

  Broker broker_;
  Callbacks callbacks_;
  std::optional<cells::Registry::Identity> identity_;
  std::unique_ptr<Builder> builder_;
  std::unique_ptr<cells::Cell> cell_;
  bool ending_ = false;
};

}  // namespace cellrun::run
