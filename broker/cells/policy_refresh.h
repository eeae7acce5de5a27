// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/cells/cell.h"
#include "broker/cells/policy_store.h"
#include "broker/cells/registry.h"
#include "broker/journal/journal.h"
#include "broker/loop/loop.h"
#include "lib/policy/source.h"

namespace cellrun::cells {

// Gives running cells the policy as it is now: when what is remembered for them changes, and when a
// rule of theirs expires. A cell whose policy can no longer be made is ended. Only on the loop's
// thread.
class PolicyRefresh {
 public:
  // The remembered documents of a cell; "" for one that does not run yet.
  using Remembered = std::function<std::vector<policy::Source>(const std::string& cell_id,
                                                               const std::string& workspace)>;
  PolicyRefresh(loop::Loop& loop, Registry& registry, PolicyStore& policies,
                journal::Journal& journal, Remembered remembered);

  // Everything that the policy of a cell is made of, in order of strength.
  [[nodiscard]] std::vector<policy::Source> SourcesFor(
      const std::string& cell_id, const std::string& workspace,
      const std::vector<policy::Source>& own) const;

  // Why the cell's policy could not be made of these; nothing if it can.
  [[nodiscard]] std::optional<std::string> Problem(const std::string& cell_id,
                                                   const std::vector<policy::Source>& own) const;

  // From now until Forget its policy follows its rules' expiry.
  void Watch(Cell& cell);
  void Forget(const std::string& cell_id);
  // Called in Forget: for what else is kept for a cell.
  void OnForget(std::function<void(const std::string& cell_id)> forget) {
    on_forget_ = std::move(forget);
  }

  // `first` gets its policy at once, the others that `concerned` names one after the other, so that
  // nobody waits for all of them.
  void Refresh(const std::string& first, const std::function<bool(const Cell& cell)>& concerned);

 private:
  void RefreshOne(const std::string& cell_id);
  void RefreshNext();
  void ArmTimer(const std::string& cell_id, const policy::Policy& policy);
  Cell* Find(const std::string& cell_id) const;

  loop::Loop& loop_;
  Registry& registry_;
  PolicyStore& policies_;
  journal::Journal& journal_;
  const Remembered remembered_;
  std::map<std::string, std::unique_ptr<loop::Loop::Timer>> timers_;  // by cell
  std::deque<std::string> waiting_;
  std::unique_ptr<loop::Loop::Timer> next_;
  std::function<void(const std::string& cell_id)> on_forget_;
};

}  // namespace cellrun::cells
