// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_wall.h"

#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "broker/cells/expiry_timer.h"
#include "lib/groups/host_groups.h"
#include "lib/sys/network.h"
#include "lib/sys/random.h"
#include "lib/sys/socket.h"

namespace cellrun::cells {
namespace {

constexpr std::size_t kNameBytes = 6;

}  // namespace

CellWall CellWall::Beside(net::Wall& wall, pid_t launcher) {
  CellWall made;
  const Result<std::string> parent = net::CgroupOf(launcher);
  auto enclosure = parent.ok() ? wall.Enclose(*parent, sys::RandomHex(kNameBytes))
                               : Result<std::unique_ptr<net::Wall::Enclosure>>(parent.error());
  if (enclosure.ok()) {
    made.enclosure_ = std::move(*enclosure);
  } else {
    made.missing_ = enclosure.error().ToString();
  }
  return made;
}

Result<CellWall> CellWall::BesideCell(net::Wall& wall, const std::string& cgroup) {
  if (cgroup.empty()) return CellWall();
  return Below(wall, cgroup.substr(0, cgroup.rfind('/')));
}

Result<CellWall> CellWall::Below(net::Wall& wall, const std::string& parent) {
  CellWall made;
  made.enclosure_ = TRY(wall.Enclose(parent, sys::RandomHex(kNameBytes)));
  return made;
}

std::string CellWall::cgroup() const {
  return enclosure_ == nullptr ? "" : enclosure_->path();
}

const UniqueFd* CellWall::directory() const {
  return enclosure_ == nullptr ? nullptr : &enclosure_->directory();
}

// And again when the next rule expires. Only where this stays from now on.
Result<net::WallReach> CellWall::Compile(const SharedProfile& profile) {
  const policy::Checked<policy::NetworkPolicy> policy = groups::CompileNetwork(*profile, home_);
  if (!policy.ok()) return Error(EINVAL, "", policy.problems().front().ToString());
  profile_ = profile;
  expiry_.reset();
  if (const auto next = policy.value().NextExpiry()) {
    expiry_ = AtExpiry(enclosure_->loop(), *next, [this] {
      const Result<void> narrowed = ReplacePolicy(SharedProfile(profile_));
      if (!narrowed.ok())
        on_loss_("a rule that expired is still in it: " + narrowed.error().ToString());
    });
  }
  return net::ReachOf(policy.value(), gateway_);
}

Result<void> CellWall::Open(const Cell& cell, const SharedProfile& profile,
                            std::function<void(const std::string& why)> on_loss) {
  if (enclosure_ == nullptr) return {};
  home_ = cell.home;
  gateway_ = cell.gateway_witness != nullptr;
  enclosure_->BelongTo(cell.id);
  on_loss_ = on_loss;
  net::WallReach reach = TRY(Compile(profile));
  reach.network = TRY(sys::NetworkCookie(cell.network_witness));
  if (gateway_) reach.gateway = TRY(sys::NetworkCookie(*cell.gateway_witness));
  reach.host = TRY(sys::NetworkCookie(TRY(sys::UnixSocket(SOCK_DGRAM))));
  reach.nested = cell.nested;
  TRY(enclosure_->Open(cell.init, reach));
  enclosure_->OnLoss(std::move(on_loss));
  return {};
}

Result<void> CellWall::ReplacePolicy(const SharedProfile& profile) {
  if (enclosure_ == nullptr) return {};
  net::WallReach reach = TRY(Compile(profile));
  const net::WallReach& now = enclosure_->reach();
  reach.network = now.network;
  reach.gateway = now.gateway;
  reach.host = now.host;
  reach.nested = now.nested;
  return enclosure_->Replace(reach);
}

nlohmann::json CellWall::Counters() const {
  if (enclosure_ == nullptr) return nullptr;
  const net::Programs::Tally tally = enclosure_->tally();
  return {{"refused", tally.refused}, {"unrecorded", tally.unrecorded}};
}

}  // namespace cellrun::cells
