// SPDX-License-Identifier: Apache-2.0
#include "broker/net/upstream/upstream.h"

#include <sys/socket.h>

#include <algorithm>
#include <utility>

#include "broker/net/upstream/lookup.h"
#include "broker/net/upstream/servers.h"
#include "lib/policy/split_dns.h"
#include "lib/sys/internet.h"

namespace cellrun::net {
namespace {

// Connecting a datagram socket sends nothing.
bool HasRoute(const Address& address) {
  constexpr std::uint16_t kAnyPort = 9;
  const Result<UniqueFd> socket =
      sys::InternetSocket(address.ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM);
  const SocketAddress to = SocketAddressOf({.address = address, .port = kAnyPort});
  return socket.ok() && sys::ConnectInternet(*socket, to.get(), to.size).ok();
}

}  // namespace

Upstream::Upstream(loop::Loop& loop, Settings settings)
    : loop_(loop), settings_(std::move(settings)) {}

Upstream::~Upstream() = default;

void Upstream::Resolve(const std::string& name, Clock::time_point deadline, Done done) {
  const auto known = remembered_.find(name);
  if (known != remembered_.end() && Clock::now() < known->second.until) {
    return done(Answer(known->second.answer));
  }
  if (const auto same = current_.find(name); same != current_.end()) {
    return pending_.at(same->second).waiting.push_back(std::move(done));
  }
  if (pending_.size() >= settings_.pending) return done({.outcome = Outcome::kBusy});
  ++asked_;
  auto lookup = std::make_unique<Lookup>(
      loop_, [this](const std::string& asked) { return ServersFor(asked); },
      settings_.has_way != nullptr ? settings_.has_way : HasRoute, name,
      [this, name](const Lookup* ended, const Answer& answer, std::chrono::seconds ttl) {
        Finish(name, ended, answer, ttl);
      });
  Lookup* started = lookup.get();
  Pending& pending = pending_[started];
  pending.lookup = std::move(lookup);
  pending.waiting.push_back(std::move(done));
  current_[name] = started;
  started->Start(deadline);
}

void Upstream::Finish(const std::string& name, const Lookup* ended, const Answer& answer,
                      std::chrono::seconds ttl) {
  const auto over = pending_.extract(ended);  // until everybody has been told
  const auto current = current_.find(name);
  // Else its servers are not those of now.
  if (current != current_.end() && current->second == ended) {
    current_.erase(current);
    if (answer.outcome == Outcome::kFound) Remember(name, answer, ttl);
  }
  for (const Done& done : over.mapped().waiting) done(answer);
}

Exchange::Settings Upstream::ServersFor(const std::string& name) {
  const auto split = policy::FindDomain(settings_.servers.split, name);
  const bool own = split != settings_.servers.split.end();
  const std::vector<Endpoint>& given = own ? split->second : settings_.servers.all;
  std::vector<Endpoint> servers = given.empty() ? ServersOfFile(settings_.resolv_conf) : given;
  std::stable_partition(servers.begin(), servers.end(),
                        [this](const Endpoint& server) { return !IsSilent(server); });
  return {.servers = std::move(servers),
          .try_time = settings_.try_time,
          .on_silent = [this](const Endpoint& server) {
            silent_[server] = Clock::now() + settings_.silence;
          }};
}

bool Upstream::IsSilent(const Endpoint& server) const {
  const auto found = silent_.find(server);
  return found != silent_.end() && Clock::now() < found->second;
}

void Upstream::Use(Servers servers) {
  if (servers == settings_.servers) return;
  settings_.servers = std::move(servers);
  remembered_.clear();
  current_.clear();
  silent_.clear();
}

void Upstream::Remember(const std::string& name, const Answer& answer, std::chrono::seconds ttl) {
  if (ttl.count() <= 0) return;
  if (remembered_.size() >= settings_.remembered) remembered_.clear();
  remembered_.insert_or_assign(name, Remembered{.answer = answer, .until = Clock::now() + ttl});
}

}  // namespace cellrun::net
