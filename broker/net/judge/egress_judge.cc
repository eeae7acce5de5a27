// SPDX-License-Identifier: Apache-2.0
#include "broker/net/judge/egress_judge.h"

#include <utility>

#include "lib/base/check.h"
#include "lib/policy/network_target.h"

namespace cellrun::net {
namespace {

constexpr std::string_view kCells = ".host.cell";

}  // namespace

EgressJudge::EgressJudge(std::shared_ptr<const policy::NetworkPolicy> policy)
    : policy_(std::move(policy)) {
  CHECK(policy_ != nullptr);
}

void EgressJudge::Replace(std::shared_ptr<const policy::NetworkPolicy> policy) {
  CHECK(policy != nullptr);
  std::atomic_store(&policy_, std::move(policy));
  ++generation_;
}

std::shared_ptr<const policy::NetworkPolicy> EgressJudge::policy() const {
  return std::atomic_load(&policy_);
}

Verdict EgressJudge::Decide(const Destination& destination) const {
  return policy()->Decide(destination);
}

Opening EgressJudge::OpeningOf(std::string_view name) const {
  const std::optional<std::string> host = HostOfName(name);
  return host ? policy()->MightAllow(*host) : Opening::kClosed;
}

Verdict EgressJudge::MayDial(const Destination& named, const Address& resolved, bool own) const {
  return policy()->DecideResolved(named, resolved, own);
}

std::optional<std::string> HostOfName(std::string_view name) {
  if (!policy::IsHostName(name)) return std::nullopt;
  if (!name.ends_with(kCells)) return std::string(name);
  const auto cell = policy::CellOfName(name);
  if (!cell) return std::nullopt;
  return "host.cell/" + *cell;
}

}  // namespace cellrun::net
