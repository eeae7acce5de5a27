// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_egress.h"

#include <algorithm>
#include <utility>

#include "broker/net/address/address.h"
#include "broker/net/upstream/servers.h"
#include "broker/run/secret.h"
#include "lib/base/log.h"
#include "lib/groups/host_groups.h"
#include "lib/policy/network_policy.h"
#include "lib/sys/internet.h"
#include "lib/sys/socket.h"
#include "lib/wire/gateway.h"

namespace cellrun::cells {
namespace {

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
                                                      const policy::Profile& profile,
                                                      const AskTerms& terms, UniqueFd user,
                                                      std::vector<UniqueFd> gateway) {
  std::unique_ptr<CellEgress> made(new CellEgress());
  made->names_ = std::make_shared<net::Names>();
  made->loop_ = &services.loop;
  made->home_ = services.home;
  TRY(made->Compile(profile));
  UniqueFd network = std::move(gateway.front());
  gateway.erase(gateway.begin());
  std::unique_ptr<net::SocketStock> stock =
      TRY(net::SocketStock::Make(std::move(user), std::move(network), std::move(gateway)));
  TRY(services.engine.Start());
  made->resolver_ = std::make_unique<net::Resolver>(
      services.loop, TRY(MakeResolverSockets(*stock)), made->names_, made->judge_,
      net::ResolverLimits{}, made->Events(services, cell));
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
                         .ask = AskThrough(services.loop, services.approvals, cell, terms),
                         .reach_cell = services.reach_cell,
                         .proxy = ProxyOf(services, profile)});
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
  OpenDatagrams(addresses, ports);
}

void CellEgress::OpenDatagrams(const std::vector<net::Address>& addresses,
                               const std::vector<std::uint16_t>& ports) const {
  std::vector<net::Endpoint> endpoints;
  for (const net::Address& address : addresses) {
    for (const std::uint16_t port : ports) endpoints.push_back({.address = address, .port = port});
  }
  if (!endpoints.empty()) egress_->OpenDatagrams(endpoints);
}

// A program asks for a name again and again: once is enough to know. Nothing has been asked of
// anybody about it.
net::ResolverEvents CellEgress::Events(const Services& services, const net::CellIdentity& cell) {
  constexpr std::size_t kMostNames = 1000;
  net::ResolverEvents events;
  events.assigned = [this](const std::string& /*name*/, const net::Names::Addresses& given) {
    OpenDatagrams({given.ipv4, given.ipv6}, DatagramPorts());
  };
  events.refused = [this, tell = services.on_refused, cell](const std::string& name) {
    if (refused_.size() >= kMostNames || !refused_.insert(name).second) return;
    const net::Target target{.endpoint = {},
                             .destination = {.host = name, .port = 0},
                             .verdict = judge_->Decide({.host = name, .port = 1})};
    journal::Record record = net::RecordOf(cell, {}, target);
    record.to.clear();
    record.proto = "dns";
    record.verdict = policy::Action::kDeny;
    record.result = "denied";
    record.reason =
        cell.ghost_of.empty()
            ? "no network rule lets this name out; `- {to: " + name + ", then: allow}` would"
            : "the rule of this ghost does not name it; `ghost: {network: [\"" + name +
                  ":PORT\"]}` would";
    tell(std::move(record));
  };
  return events;
}

CellEgress::~CellEgress() {
  Stop();
}

Result<void> CellEgress::ReplacePolicy(const policy::Profile& profile) {
  TRY(Compile(profile));
  egress_->Rejudge();
  OpenFixedDatagrams();
  return {};
}

// And again when the next rule expires.
Result<void> CellEgress::Compile(const policy::Profile& profile) {
  policy::Checked<policy::NetworkPolicy> compiled = groups::CompileNetwork(profile, home_);
  if (!compiled.ok()) return Error(EINVAL, "", compiled.problems().front().ToString());
  const auto policy = std::make_shared<const policy::NetworkPolicy>(std::move(compiled.value()));
  if (judge_ == nullptr) {
    judge_ = std::make_shared<net::EgressJudge>(policy);
  } else {
    judge_->Replace(policy);
  }
  if (profile_.get() != &profile) profile_ = std::make_unique<policy::Profile>(profile);
  expiry_.reset();
  const auto next = policy->NextExpiry();
  if (!next) return {};
  // A timer is monotonic and an expiry is not: it is looked at again at least so often.
  constexpr std::chrono::milliseconds kLookAgain{600'000};
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(*next - std::chrono::system_clock::now());
  expiry_ = loop_->After(std::clamp(left, std::chrono::milliseconds(1), kLookAgain),
                         [this] { (void)ReplacePolicy(*profile_); });
  return {};
}

void CellEgress::Stop() {
  if (std::exchange(stopped_, true) || egress_ == nullptr) return;
  egress_->Stop();
}

}  // namespace cellrun::cells
