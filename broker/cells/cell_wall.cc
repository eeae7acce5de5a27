// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_wall.h"

#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "lib/groups/host_groups.h"
#include "lib/sys/network.h"
#include "lib/sys/random.h"
#include "lib/sys/socket.h"

namespace cellrun::cells {
namespace {

constexpr std::size_t kNameBytes = 6;

Result<net::WallReach> Compile(const policy::Profile& profile, const std::string& home,
                               bool gateway) {
  const policy::Checked<policy::NetworkPolicy> policy = groups::CompileNetwork(profile, home);
  if (!policy.ok()) return Error(EINVAL, "", policy.problems().front().ToString());
  return net::ReachOf(policy.value(), gateway);
}

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
  CellWall made;
  if (cgroup.empty()) return made;
  made.enclosure_ =
      TRY(wall.Enclose(cgroup.substr(0, cgroup.rfind('/')), sys::RandomHex(kNameBytes)));
  return made;
}

std::string CellWall::cgroup() const {
  return enclosure_ == nullptr ? "" : enclosure_->path();
}

const UniqueFd* CellWall::directory() const {
  return enclosure_ == nullptr ? nullptr : &enclosure_->directory();
}

Result<void> CellWall::Open(const Cell& cell, const policy::Profile& profile,
                            std::function<void(const std::string& why)> on_loss) {
  if (enclosure_ == nullptr) return {};
  home_ = cell.home;
  gateway_ = cell.gateway_witness != nullptr;
  enclosure_->BelongTo(cell.id);
  net::WallReach reach = TRY(Compile(profile, home_, gateway_));
  reach.network = TRY(sys::NetworkCookie(cell.network_witness));
  if (gateway_) reach.gateway = TRY(sys::NetworkCookie(*cell.gateway_witness));
  reach.host = TRY(sys::NetworkCookie(TRY(sys::UnixSocket(SOCK_DGRAM))));
  reach.nested = cell.nested;
  TRY(enclosure_->Open(cell.init, reach));
  enclosure_->OnLoss(std::move(on_loss));
  return {};
}

Result<void> CellWall::ReplacePolicy(const policy::Profile& profile) {
  if (enclosure_ == nullptr) return {};
  net::WallReach reach = TRY(Compile(profile, home_, gateway_));
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
