// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_egress.h"

#include <utility>

#include "broker/cells/expiry_timer.h"
#include "broker/net/address/address.h"
#include "broker/net/upstream/servers.h"
#include "broker/run/secret.h"
#include "lib/base/log.h"
#include "lib/groups/host_groups.h"
#include "lib/policy/network_policy.h"
#include "lib/wire/gateway.h"

namespace cellrun::cells {
namespace {

// The cell's resolver answers on the gateway's own address.
Result<net::Resolver::Sockets> MakeResolverSockets(net::SocketStock& stock) {
  net::Resolver::Sockets sockets{.datagrams = TRY(stock.Take(net::SocketStock::Kind::kUdp4)),
                                 .streams = TRY(stock.Take(net::SocketStock::Kind::kTcp4))};
  TRY(net::Resolver::Bind(sockets, *net::ParseAddress(&wire::kGatewayAddress[0])));
  return sockets;
}

int CodeOf(net::Upstream::Outcome outcome) {
  if (outcome == net::Upstream::Outcome::kBusy) return EAGAIN;
  return outcome == net::Upstream::Outcome::kTimedOut ? ETIMEDOUT : EHOSTUNREACH;
}

// From any thread; the lookup itself is made on the loop's.
net::Resolve ResolveThrough(loop::Loop& loop, std::weak_ptr<net::Upstream> upstream) {
  return [&loop, upstream = std::move(upstream)](const std::string& name, net::Resolved resolved) {
    loop.Post([upstream, name, resolved = std::move(resolved)] {
      const std::shared_ptr<net::Upstream> living = upstream.lock();
      if (living == nullptr) return resolved({.addresses = Error(ECANCELED, "resolve")});
      constexpr std::chrono::seconds kLimit{10};
      living->Resolve(name, net::Upstream::Clock::now() + kLimit,
                      [resolved](const net::Upstream::Answer& answer) {
                        net::Resolution found{.addresses = answer.addresses,
                                              .resolver = net::ServersText(answer.asked)};
                        if (answer.outcome != net::Upstream::Outcome::kFound)
                          found.addresses = Error(CodeOf(answer.outcome), "resolve");
                        resolved(std::move(found));
                      });
    });
  };
}

// From any thread; nobody reads it once the cell is gone.
template <typename Tell>
auto TellThrough(loop::Loop& loop, std::weak_ptr<Tell> tell) {
  return [&loop, tell = std::move(tell)](const journal::Record& record, std::uint64_t seq) {
    loop.Post([tell, record, seq] {
      if (const std::shared_ptr<Tell> living = tell.lock()) (*living)(record, seq);
    });
  };
}

// Never fewer than the profile names: none would be the system's.
Result<std::vector<net::Endpoint>> ServersOf(const std::vector<std::string>& addresses) {
  std::vector<net::Endpoint> servers = net::ServersAt(addresses);
  if (servers.size() != addresses.size()) return Error(EINVAL, "", "a resolver cannot be read");
  return servers;
}
Result<net::Upstream::Servers> ServersOf(const policy::Profile& profile) {
  net::Upstream::Servers servers{.all = TRY(ServersOf(profile.dns_upstream))};
  for (const auto& [domain, split] : profile.dns_split)
    servers.split[domain] = TRY(ServersOf(split.value));
  return servers;
}

// Read once, while the cell starts: what leaves before waits. Null: there is none.
std::shared_ptr<net::ProxyAccess> ProxyOf(const CellEgress::Services& services,
                                          const policy::Profile& profile) {
  if (profile.upstream_proxy.value.empty()) return nullptr;
  auto access = std::make_shared<net::ProxyAccess>();
  const std::shared_ptr<net::Proxy> proxy = net::ParseProxy(profile.upstream_proxy.value);
  const std::string& name = profile.proxy_secret.value;
  if (proxy == nullptr) {
    access->Set(Error(EINVAL, "", "the proxy's URL cannot be read"));
  } else if (name.empty()) {
    access->Set(net::ProxyAccess::Known(proxy));
  } else {
    services.pool.Do(
        [access, proxy, name, secrets = profile.secrets, environment = services.environment] {
          const Result<run::SecretValues> values = run::ReadSecrets(secrets, {name}, environment);
          const Result<void> set = values.ok()
                                       ? net::SetCredentials(*proxy, values->values().front().value)
                                       : Result<void>(values.error());
          if (!set.ok())
            log::Warn("no credentials for a proxy", {{"error", set.error().ToString()}});
          access->Set(set.ok() ? Result<net::ProxyAccess::Known>(proxy) : set.error());
        });
  }
  return access;
}

}  // namespace

Result<std::unique_ptr<CellEgress>> CellEgress::Start(const Services& services,
                                                      const net::CellIdentity& cell,
                                                      const SharedProfile& profile,
                                                      const AskTerms& terms, UniqueFd user,
                                                      std::vector<UniqueFd> gateway) {
  std::unique_ptr<CellEgress> made(new CellEgress());
  made->names_ = std::make_shared<net::Names>();
  made->loop_ = &services.loop;
  made->home_ = services.home;
  made->refused_ = std::make_unique<RefusedNames>(cell, services.on_refused);
  TRY(made->Compile(profile));
  UniqueFd network = std::move(gateway.front());
  gateway.erase(gateway.begin());
  std::unique_ptr<net::SocketStock> stock =
      TRY(net::SocketStock::Make(std::move(user), std::move(network), std::move(gateway)));
  TRY(services.engine.Start());
  made->resolver_ =
      std::make_unique<net::Resolver>(services.loop, TRY(MakeResolverSockets(*stock)), made->names_,
                                      made->judge_, net::ResolverLimits{}, made->Events());
  made->upstream_ = std::make_shared<net::Upstream>(
      services.loop, net::Upstream::Settings{.servers = TRY(ServersOf(*profile))});
  made->tell_ = std::make_shared<const decltype(services.tell)>(services.tell);
  made->egress_ =
      net::Egress::Make({.engine = services.engine,
                         .cell = cell,
                         .journal = services.journal,
                         .stock = std::move(stock),
                         .judge = made->judge_,
                         .names = made->names_,
                         .resolve = ResolveThrough(services.loop, made->upstream_),
                         .ask = AskThrough(services.loop, services.approvals, cell, terms),
                         .reach_cell = services.reach_cell,
                         .proxy = ProxyOf(services, *profile),
                         .tell = TellThrough(services.loop, std::weak_ptr(made->tell_))});
  made->OpenFixedDatagrams();
  return made;
}

// Where a rule lets out datagrams: they come without a connect. Ranges of many ports are opened by
// connect(2) alone.
std::vector<std::uint16_t> CellEgress::DatagramPorts() const {
  constexpr std::size_t kMostPorts = 16;
  std::set<std::uint16_t> ports;
  for (const policy::NetworkRule& rule : profile_->network_rules) {
    if (!rule.udp || rule.then == policy::Action::kDeny) continue;
    for (const auto& [first, last] : rule.ports) {
      if (static_cast<std::size_t>(last - first) >= kMostPorts) continue;
      for (std::uint32_t port = first; port <= last && ports.size() < kMostPorts; ++port)
        ports.insert(static_cast<std::uint16_t>(port));
    }
  }
  return {ports.begin(), ports.end()};
}

// Those of `host` and of single addresses in rules.
void CellEgress::OpenFixedDatagrams() const {
  const std::vector<std::uint16_t> ports = DatagramPorts();
  if (ports.empty()) return;
  std::vector<net::Address> addresses = {*net::ParseAddress(&wire::kHostAddress[0])};
  for (const policy::NetworkRule& rule : profile_->network_rules) {
    for (const std::string& to : rule.to) {
      if (const auto address = net::ParseAddress(to); address && rule.udp)
        addresses.push_back(net::Canonical(*address));
    }
  }
  OpenDatagrams(addresses, ports, net::Datagrams::Stay::kLasting);
}

void CellEgress::OpenDatagrams(const std::vector<net::Address>& addresses,
                               const std::vector<std::uint16_t>& ports,
                               net::Datagrams::Stay stay) const {
  std::vector<net::Endpoint> endpoints;
  for (const net::Address& address : addresses) {
    for (const std::uint16_t port : ports) endpoints.push_back({.address = address, .port = port});
  }
  if (!endpoints.empty()) egress_->OpenDatagrams(endpoints, stay);
}

// A program asks for a name again and again: once is enough to know. Nothing has been asked of
// anybody about it.
net::ResolverEvents CellEgress::Events() {
  net::ResolverEvents events;
  events.assigned = [this](const std::string& /*name*/, const net::Names::Addresses& given) {
    OpenDatagrams({given.ipv4, given.ipv6}, DatagramPorts(), net::Datagrams::Stay::kWhileUsed);
  };
  events.refused = [this](const std::string& name) { refused_->Refuse(name, *judge_); };
  return events;
}

CellEgress::~CellEgress() {
  Stop();
}

Result<void> CellEgress::ReplacePolicy(const SharedProfile& profile) {
  net::Upstream::Servers servers = TRY(ServersOf(*profile));
  TRY(Compile(profile));
  upstream_->Use(std::move(servers));
  egress_->Rejudge();
  OpenFixedDatagrams();
  return {};
}

// And again when the next rule expires.
Result<void> CellEgress::Compile(const SharedProfile& profile) {
  policy::Checked<policy::NetworkPolicy> compiled = groups::CompileNetwork(*profile, home_);
  if (!compiled.ok()) return Error(EINVAL, "", compiled.problems().front().ToString());
  const auto policy = std::make_shared<const policy::NetworkPolicy>(std::move(compiled.value()));
  if (judge_ == nullptr) {
    judge_ = std::make_shared<net::EgressJudge>(policy);
  } else {
    judge_->Replace(policy);
  }
  profile_ = profile;
  expiry_.reset();
  const auto next = policy->NextExpiry();
  if (!next) return {};
  expiry_ = AtExpiry(*loop_, *next, [this] {
    const Result<void> narrowed = ReplacePolicy(SharedProfile(profile_));
    if (!narrowed.ok()) LetNothingOut(narrowed.error());
  });
  return {};
}

// A rule that has expired would still be in the policy.
void CellEgress::LetNothingOut(const Error& why) {
  log::Fail("a policy cannot be made again: nothing leaves", {{"error", why.ToString()}});
  policy::Profile closed;
  closed.network_default.value = policy::Action::kDeny;
  auto policy = policy::NetworkPolicy::Compile(closed);
  if (policy.ok())
    judge_->Replace(std::make_shared<const policy::NetworkPolicy>(std::move(policy.value())));
  egress_->Rejudge();
}

void CellEgress::Stop(net::Leftovers leftovers) {
  if (std::exchange(stopped_, true) || egress_ == nullptr) return;
  egress_->Stop(leftovers);
}

}  // namespace cellrun::cells
