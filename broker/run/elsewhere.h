// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "broker/cells/cell.h"
#include "broker/cells/policy_store.h"
#include "broker/cells/registry.h"
#include "broker/cells/runner.h"
#include "broker/run/checkers.h"
#include "broker/run/ghost.h"
#include "broker/run/run.h"
#include "broker/run/secret.h"
#include "broker/run/veil.h"

namespace cellrun::run {

// The commands of all cells that run elsewhere than in the process that asked for them. Only on the
// loop's thread.
class Elsewhere final : public cells::Runner {
 public:
  struct Broker {
    loop::Loop& loop;
    Veil& veil;
    loop::Janitor& janitor;
    cells::Registry& registry;
    cells::PolicyStore& policies;
    std::function<cells::Services()> services;  // whose runner is this
  };
  // `on_gone` is called whenever a cell that this made is gone.
  Elsewhere(Broker broker, std::function<void()> on_gone);
  ~Elsewhere() override;

  void Run(const std::string& cell_id, exec::Waiter waiter) override;
  void Check(const std::string& cell_id, const std::string& command, std::string request,
             std::function<void(Result<std::string> printed)> done) override;
  void CellEnded(const std::string& cell_id) override;

 private:
  struct Entry {
    std::string caller;  // id of its cell
    std::shared_ptr<exec::AskedExec> asked;
    std::unique_ptr<run::Run> run;
    SecretValues secrets;
    std::shared_ptr<const void> copy;  // of its script, in the ghost
  };
  void Mirror(Entry& entry, cells::Cell& caller, exec::Desk* desk);
  void ReadSecretsOf(std::uint64_t id, const Entry& entry, const cells::Cell& caller);
  void RunInGhost(std::uint64_t id, Entry& entry, cells::Cell& caller);
  void OnGhostReady(std::uint64_t id);
  void OnGhostFailed(std::uint64_t id, const std::string& why);
  void OnOutputExceeded(std::uint64_t id);
  void OnTimedOut(std::uint64_t id, std::chrono::milliseconds limit);
  void OnGhostGone(std::uint64_t id);
  void OnEnded(std::uint64_t id, const Run::End& end);
  [[nodiscard]] Ghost::Broker ForGhosts() const;

  Broker broker_;
  std::function<void()> on_gone_;
  std::uint64_t next_ = 1;
  std::map<std::uint64_t, Entry> entries_;
  std::map<std::uint64_t, std::unique_ptr<Ghost>> ghosts_;  // also those that are ending
  Checkers checkers_;
};

}  // namespace cellrun::run
