// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_egress.h"

#include <utility>

#include "broker/net/address/address.h"
#include "broker/net/upstream/servers.h"
#include "lib/groups/host_groups.h"
#include "lib/policy/network_policy.h"
#include "lib/sys/internet.h"
#include "lib/sys/socket.h"
#include "lib/wire/gateway.h"

namespace cellrun::cells {
namespace {

Result<std::shared_ptr<const policy::NetworkPolicy>> Compile(const policy::Profile& profile,
                                                             const std::string& home) {
  policy::Checked<policy::NetworkPolicy> compiled = groups::CompileNetwork(profile, home);
  if (!compiled.ok()) return Error(EINVAL, "", compiled.problems().front().ToString());
  return std::make_shared<const policy::NetworkPolicy>(std::move(compiled.value()));
}

// The cell's resolver answers on the gateway's own address.
Result<net::Resolver::Sockets> MakeResolverSockets(net::SocketStock& stock) {
  constexpr std::uint16_t kDnsPort = 53;
  constexpr int kBacklog = 64;
  const net::SocketAddress address = net::SocketAddressOf(
      {.address = *net::ParseAddress(&wire::kGatewayAddress[0]), .port = kDnsPort});
  net::Resolver::Sockets sockets{.datagrams = TRY(stock.Take(net::SocketStock::Kind::kUdp4)),
                                 .streams = TRY(stock.Take(net::SocketStock::Kind::kTcp4))};
  TRY(sys::BindInternet(sockets.datagrams, address.get(), address.size).With("DNS over UDP"));
  TRY(sys::BindInternet(sockets.streams, address.get(), address.size).With("DNS over TCP"));
  TRY(sys::Listen(sockets.streams, kBacklog));
  return sockets;
}

int CodeOf(net::Upstream::Outcome outcome) {
  return outcome == net::Upstream::Outcome::kTimedOut ? ETIMEDOUT : EHOSTUNREACH;
}

// From any thread; the lookup itself is made on the loop's.
net::Resolve ResolveThrough(loop::Loop& loop, std::weak_ptr<net::Upstream> upstream) {
  return [&loop, upstream = std::move(upstream)](const std::string& name, net::Resolved resolved) {
    loop.Post([upstream, name, resolved = std::move(resolved)] {
      const std::shared_ptr<net::Upstream> living = upstream.lock();
      if (living == nullptr) return resolved(Error(ECANCELED, "resolve"));
      constexpr std::chrono::seconds kLimit{10};
      living->Resolve(name, net::Upstream::Clock::now() + kLimit,
                      [resolved](const net::Upstream::Answer& answer) {
                        if (answer.outcome == net::Upstream::Outcome::kFound)
                          return resolved(answer.addresses);
                        resolved(Error(CodeOf(answer.outcome), "resolve"));
                      });
    });
  };
}

}  // namespace

Result<std::unique_ptr<CellEgress>> CellEgress::Start(const Services& services,
                                                      const net::CellIdentity& cell,
                                                      const policy::Profile& profile,
                                                      const AskTerms& terms,
                                                      const Surroundings& around, UniqueFd user,
                                                      std::vector<UniqueFd> gateway) {
  std::unique_ptr<CellEgress> made(new CellEgress());
  made->home_ = around.home;
  made->names_ = std::make_shared<net::Names>();
  made->judge_ = std::make_shared<net::EgressJudge>(TRY(Compile(profile, around.home)));
  UniqueFd network = std::move(gateway.front());
  gateway.erase(gateway.begin());
  std::unique_ptr<net::SocketStock> stock =
      TRY(net::SocketStock::Make(std::move(user), std::move(network), std::move(gateway)));
  TRY(services.engine.Start());
  made->resolver_ = std::make_unique<net::Resolver>(
      services.loop, TRY(MakeResolverSockets(*stock)), made->names_, made->judge_,
      net::ResolverLimits(),
      net::ResolverEvents{.assigned = nullptr, .refused = around.refused_name});
  made->upstream_ = std::make_shared<net::Upstream>(
      services.loop, net::Upstream::Settings{.servers = net::ServersAt(profile.dns_upstream)});
  made->egress_ =
      net::Egress::Make({.engine = services.engine,
                         .cell = cell,
                         .journal = services.journal,
                         .stock = std::move(stock),
                         .judge = made->judge_,
                         .names = made->names_,
                         .resolve = ResolveThrough(services.loop, made->upstream_),
                         .ask = AskThrough(services.loop, services.approvals, cell, terms)});
  return made;
}

CellEgress::~CellEgress() {
  Stop();
}

Result<void> CellEgress::ReplacePolicy(const policy::Profile& profile) {
  judge_->Replace(TRY(Compile(profile, home_)));
  egress_->Rejudge();
  return {};
}

void CellEgress::Stop() {
  if (std::exchange(stopped_, true) || egress_ == nullptr) return;
  egress_->Stop();
}

}  // namespace cellrun::cells
