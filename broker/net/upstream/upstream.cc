// SPDX-License-Identifier: Apache-2.0
#include "broker/net/upstream/upstream.h"

#include <utility>

#include "broker/net/upstream/lookup.h"
#include "broker/net/upstream/servers.h"

namespace cellrun::net {

Upstream::Upstream(loop::Loop& loop, Settings settings)
    : loop_(loop), settings_(std::move(settings)) {}

Upstream::~Upstream() = default;

void Upstream::Resolve(const std::string& name, Clock::time_point deadline, Done done) {
  const auto known = remembered_.find(name);
  if (known != remembered_.end() && Clock::now() < known->second.until) {
    return done(Answer(known->second.answer));
  }
  if (pending_.size() >= settings_.pending) return done({.outcome = Outcome::kFailed});
  ++asked_;
  Exchange::Settings exchange{.servers = settings_.servers.empty()
                                             ? ServersOfFile(settings_.resolv_conf)
                                             : settings_.servers,
                              .try_time = settings_.try_time};
  auto lookup = std::make_unique<Lookup>(
      loop_, std::move(exchange), name,
      [this, name, done = std::move(done)](const Lookup* ended, const Answer& answer,
                                           std::chrono::seconds ttl) {
        if (answer.outcome == Outcome::kFound) Remember(name, answer, ttl);
        const auto over = pending_.extract(ended);
        done(answer);
      });
  Lookup* started = lookup.get();
  pending_.emplace(started, std::move(lookup));
  started->Start(deadline);
}

void Upstream::Remember(const std::string& name, const Answer& answer, std::chrono::seconds ttl) {
  if (ttl.count() <= 0) return;
  if (remembered_.size() >= settings_.remembered) remembered_.clear();
  remembered_.insert_or_assign(name, Remembered{.answer = answer, .until = Clock::now() + ttl});
}

}  // namespace cellrun::net
