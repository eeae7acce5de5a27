// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/policy_refresh.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "broker/cells/expiry_timer.h"
#include "broker/journal/documents.h"
#include "lib/base/log.h"
#include "lib/groups/host_groups.h"
#include "lib/policy/network_policy.h"

namespace cellrun::cells {
PolicyRefresh::PolicyRefresh(loop::Loop& loop, Registry& registry, PolicyStore& policies,
                             journal::Journal& journal, Remembered remembered)
    : loop_(loop),
      registry_(registry),
      policies_(policies),
      journal_(journal),
      remembered_(std::move(remembered)) {}

std::vector<policy::Source> PolicyRefresh::SourcesFor(
    const std::string& cell_id, const std::string& workspace,
    const std::vector<policy::Source>& own) const {
  std::vector<policy::Source> sources = remembered_(cell_id, workspace);
  sources.insert(sources.end(), own.begin(), own.end());
  std::stable_sort(
      sources.begin(), sources.end(),
      [](const policy::Source& a, const policy::Source& b) { return a.layer < b.layer; });
  return sources;
}

std::optional<std::string> PolicyRefresh::Problem(const std::string& cell_id,
                                                  const std::vector<policy::Source>& own) const {
  const Cell* cell = Find(cell_id);
  if (cell == nullptr) return "the cell is gone";
  const wire::RunRequest& request = cell->setup().request;
  const policy::Places places{.home = request.home, .workspace = request.workspace};
  const auto policy = policies_.Get(SourcesFor(cell_id, request.workspace, own), places);
  if (!policy.ok()) return policy.problems().front().ToString();
  const auto network = groups::CompileNetwork(policy.value()->profile(), places.home);
  if (!network.ok()) return network.problems().front().ToString();
  return std::nullopt;
}

void PolicyRefresh::Watch(Cell& cell) {
  ArmTimer(cell.plan().id, *cell.setup().policy);
}

void PolicyRefresh::Forget(const std::string& cell_id) {
  timers_.erase(cell_id);
  if (on_forget_) on_forget_(cell_id);
}

void PolicyRefresh::Refresh(const std::string& first,
                            const std::function<bool(const Cell& cell)>& concerned) {
  if (const Cell* cell = Find(first); cell != nullptr && concerned(*cell)) RefreshOne(first);
  for (const auto& [id, cell] : registry_.cells()) {
    if (id != first && concerned(*cell)) waiting_.push_back(id);
  }
  if (next_ == nullptr) RefreshNext();
}

void PolicyRefresh::RefreshNext() {
  next_.reset();
  if (waiting_.empty()) return;
  next_ = loop_.After(std::chrono::nanoseconds(0), [this] {
    const std::string id = std::move(waiting_.front());
    waiting_.pop_front();
    RefreshOne(id);
    RefreshNext();
  });
}

void PolicyRefresh::RefreshOne(const std::string& cell_id) {
  Cell* cell = Find(cell_id);
  // A ghost has the floor's rules only, and ends with its command.
  if (cell == nullptr || !cell->setup().ghost_of.empty()) return;
  const Sources sources =
      SourcesFor(cell_id, cell->setup().request.workspace, *cell->setup().sources);
  policy::Checked<std::shared_ptr<const policy::Policy>> policy = Compile(*cell, sources);
  if (!policy.ok()) {
    log::Fail("a cell's policy cannot be made again",
              {{"cell", cell_id}, {"problem", policy.problems()[0].ToString()}});
    cell->End("its policy cannot be made again: " + policy.problems()[0].ToString());
    return;
  }
  Install(*cell, sources, policy.value());
}

std::vector<policy::Problem> PolicyRefresh::Adopt(Cell& cell, std::vector<policy::Source> own) {
  const Sources sources = SourcesFor(cell.plan().id, cell.setup().request.workspace, own);
  policy::Checked<std::shared_ptr<const policy::Policy>> policy = Compile(cell, sources);
  if (!policy.ok()) return policy.problems();
  cell.ReplaceSources(std::make_shared<const Sources>(std::move(own)));
  Install(cell, sources, policy.value());
  return {};
}

policy::Checked<std::shared_ptr<const policy::Policy>> PolicyRefresh::Compile(
    const Cell& cell, const Sources& sources) {
  const wire::RunRequest& request = cell.setup().request;
  return policies_.Get(sources, {.home = request.home, .workspace = request.workspace});
}

void PolicyRefresh::Install(Cell& cell, const Sources& sources,
                            std::shared_ptr<const policy::Policy> policy) {
  const wire::RunRequest& request = cell.setup().request;
  const auto documents = journal::KeepDocuments(
      journal_, sources, {.home = request.home, .workspace = request.workspace});
  const policy::Policy& installed = *policy;
  cell.ReplacePolicy(std::move(policy), documents.ok() ? documents->dump() : "");
  ArmTimer(cell.plan().id, installed);
}

void PolicyRefresh::ArmTimer(const std::string& cell_id, const policy::Policy& policy) {
  timers_.erase(cell_id);
  const auto expiry = policy.NextExpiry();
  if (!expiry) return;
  timers_[cell_id] = AtExpiry(loop_, *expiry, [this, id = cell_id] {
    const Cell* cell = Find(id);
    if (cell == nullptr) return;
    const auto when = cell->setup().policy->NextExpiry();
    if (when && *when > std::chrono::system_clock::now()) {
      return ArmTimer(id, *cell->setup().policy);
    }
    RefreshOne(id);
  });
}

Cell* PolicyRefresh::Find(const std::string& cell_id) const {
  const auto found = registry_.cells().find(cell_id);
  return found == registry_.cells().end() ? nullptr : found->second;
}

}  // namespace cellrun::cells
