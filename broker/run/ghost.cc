// SPDX-License-Identifier: Apache-2.0
#include "broker/run/ghost.h"

#include <string.h>

#include <algorithm>
#include <type_traits>
#include <utility>

#include "broker/run/ghost_profile.h"
#include "lib/groups/host_groups.h"
#include "lib/policy/network_policy.h"
#include "lib/sys/socket.h"

namespace cellrun::run {
namespace {

template <typename T>
std::string KeyOf(const std::optional<policy::Placed<T>>& limit) {
  if (!limit) return "-";
  if constexpr (std::is_same_v<T, std::chrono::milliseconds>) {
    return std::to_string(limit->value.count());
  } else {
    return std::to_string(limit->value);
  }
}

// As long as the caller's policy stays, the same rule with the same rights gives the same profile.
std::string KeyOf(const Ghost::Order& order) {
  const policy::Ghost& rights = order.rights;
  const policy::Limits& limits = rights.limits;
  std::string key = order.streams.empty() ? "ghost" : "checker";
  const auto add = [&](char what, const std::string& text) { (key += '\0') += what + text; };
  add('c', order.caller.plan().id);
  add('g', std::to_string(order.caller.policy_generation()));
  add('a', order.rule.at.ToString());
  add('i', rights.image);
  for (const std::string& path : rights.write) add('w', path);
  for (const std::string& endpoint : rights.network) add('n', endpoint);
  for (const std::string& limit :
       {KeyOf(limits.memory_bytes), KeyOf(limits.processes), KeyOf(limits.cpus),
        KeyOf(limits.files), KeyOf(limits.time), KeyOf(limits.output_bytes)})
    add('l', limit);
  return key;
}

std::string PathOf(const policy::Profile& profile) {
  std::string path;
  for (const auto& directory : profile.path) path += (path.empty() ? "" : ":") + directory.value;
  return path;
}

wire::RunRequest RequestOf(const Ghost::Order& order) {
  const wire::RunRequest& caller = order.caller.setup().request;
  wire::RunRequest request;
  request.profile = caller.profile;
  request.workspace = caller.workspace;
  request.workspace_read_only = caller.workspace_read_only;
  request.working_directory = order.directory;
  request.home = caller.home;
  request.user = caller.user;
  request.argv = order.argv;
  request.read = caller.read;
  request.time_limit = caller.time_limit;
  request.term = caller.term;
  if (!order.streams.empty()) {
    request.workspace_read_only = true;
    request.read.insert(request.read.end(), order.read.begin(), order.read.end());
    std::fill(std::begin(request.streams), std::end(request.streams), wire::Stream::kGiven);
  }
  return request;
}

}  // namespace

Result<std::unique_ptr<Ghost>> Ghost::Start(Broker broker, Order order, Callbacks callbacks) {
  std::unique_ptr<Ghost> ghost(new Ghost(broker, std::move(callbacks)));
  // First: the program starts while the plan is made.
  ghost->builder_ = TRY(Builder::Start(
      broker.loop, {.started =
                        [made = ghost.get()](UniqueFd pidfd, const std::vector<std::string>& lost) {
                          made->OnStarted(std::move(pidfd), lost);
                        },
                    .failed = [made = ghost.get()](const std::string& why) { made->Fail(why); }}));
  TRY(ghost->Plan(std::move(order)));
  return ghost;
}

Ghost::~Ghost() {
  if (cell_ != nullptr) broker_.registry.Remove(cell_->plan().id);
  if (!identity_) return;
  broker_.veil.Forget(identity_->id);
  broker_.registry.Release(*identity_);
}

Result<void> Ghost::Plan(Order order) {
  cells::Cell::Setup setup;
  setup.request = RequestOf(order);
  setup.caller = order.caller.setup().caller;
  setup.ghost_of = order.caller.plan().id;
  setup.exec = order.exec;
  setup.attended = order.caller.Attended();
  setup.keeps = order.streams.empty();
  const policy::Places places{.home = setup.request.home, .workspace = setup.request.workspace};
  policy::Checked<std::shared_ptr<const policy::Policy>> policy = PolicyFor(order, places);
  if (!policy.ok()) return Error(EINVAL, "", policy.problems().front().ToString());
  setup.policy = policy.value();
  const policy::Checked<policy::NetworkPolicy> network =
      groups::CompileNetwork(setup.policy->profile(), places.home);
  if (!network.ok()) return Error(EINVAL, "", network.problems().front().ToString());

  const bool by_root = setup.caller.uid == 0;
  identity_ = TRY(broker_.registry.Reserve("", by_root));
  setup.protection =
      TRY(broker_.registry.ProtectionIn(setup.request.workspace, setup.policy->profile()));
  std::vector<cells::SecretFile> files;
  if (order.secrets != nullptr) {
    if (!order.secrets->values().empty())
      broker_.veil.Cover(identity_->id, order.secrets->Needles());
    for (const SecretValues::Value& secret : order.secrets->values()) {
      if (secret.as_file) files.emplace_back(secret.name, secret.value);
    }
  }
  setup.wall = TRY(cells::CellWall::BesideCell(broker_.services.wall, order.caller.plan().cgroup));
  setup.launcher = order.caller.setup().launcher;
  setup.limits = TRY(cells::CellLimits::Make({.profile = setup.policy->profile(),
                                              .launcher = setup.launcher,
                                              .wall = broker_.services.wall,
                                              .janitor = broker_.services.janitor,
                                              .notes = broker_.services.cgroup_notes},
                                             setup.wall, setup.left_wall)
                         .With("its limits"));
  setup.left_wall.Close();  // nothing is in it
  const cells::WholeLimits& whole = setup.limits.whole();
  if (const auto* required = whole.Unmet(setup.policy->profile()))
    return Error(ENOTSUP, "",
                 required->value + " is required: " + whole.missing.at(required->value));
  setup.plan = TRY(cells::BuildPlan({.profile = setup.policy->profile(),
                                     .request = setup.request,
                                     .caller = setup.caller,
                                     .protection = *setup.protection,
                                     .id = identity_->id,
                                     .name = identity_->name,
                                     .secrets = files,
                                     .cell_uid = identity_->uid.value_or(setup.caller.uid),
                                     .gateway = network.value().LetsAnythingOut(),
                                     .cgroup = setup.wall.cgroup(),
                                     .whole = whole}));
  if (!setup.keeps) {
    setup.environment = {"PATH=" + PathOf(setup.policy->profile()), "HOME=" + setup.request.home,
                         "LANG=C.UTF-8"};
  }
  auto [ours, inits] = TRY(sys::SocketPair(SOCK_SEQPACKET));
  const auto limit = setup.plan.time_limit;
  std::string plan = wire::EncodePlan(setup.plan);
  cell_ = TRY(
      cells::Cell::Make(broker_.services, std::move(setup), std::move(ours),
                        {.on_terminal = [](const UniqueFd&) {},
                         .on_end = [this](const wire::ExitReport& report) { OnCellEnd(report); },
                         .on_ready = [this] { callbacks_.ready(); },
                         .on_time_limit =
                             [this, limit] {
                               if (callbacks_.timed_out) callbacks_.timed_out(limit);
                             }}));
  broker_.registry.Add(*cell_);
  const Result<void> ordered = builder_->Build(
      plan, std::move(inits), cell_->setup().limits.entered(cells::CellLimits::Made::kInItsWall));
  if (!files.empty()) explicit_bzero(plan.data(), plan.size());
  TRY(Result<void>(ordered));
  return cell_->Order(std::move(order.streams));
}

policy::Checked<std::shared_ptr<const policy::Policy>> Ghost::PolicyFor(
    const Order& order, const policy::Places& places) const {
  const policy::Profile& parent = order.caller.setup().policy->profile();
  return broker_.policies.Get(
      KeyOf(order),
      [&] {
        if (!order.streams.empty()) return CheckerProfile(parent);
        return GhostProfile(parent, {.named = order.rights, .rule = order.rule});
      },
      places);
}

std::string Ghost::path() const {
  return PathOf(cell_->setup().policy->profile());
}

void Ghost::OnStarted(UniqueFd pidfd, const std::vector<std::string>& lost_layers) {
  if (!ending_) cell_->Started(std::move(pidfd), lost_layers);
}

void Ghost::Fail(const std::string& why) {
  if (ending_) return;
  callbacks_.failed(why);
  End();
}

void Ghost::End() {
  if (std::exchange(ending_, true)) return;
  cell_->End("");
}

void Ghost::EndForOutput() {
  if (!std::exchange(ending_, true)) cell_->EndForOutput();
}

void Ghost::OnCellEnd(const wire::ExitReport& report) {
  if (!std::exchange(ending_, true) && cell_->setup().keeps) callbacks_.failed(report.lost);
  broker_.registry.Remove(cell_->plan().id);
  // The cell is calling.
  broker_.loop.Post([gone = callbacks_.gone, report] { gone(report); });
}

}  // namespace cellrun::run
