// SPDX-License-Identifier: Apache-2.0
#include "broker/net/upstream/lookup.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace cellrun::net {
namespace {

using Outcome = Upstream::Outcome;

constexpr std::size_t kMostAliases = 8;
constexpr std::chrono::milliseconds kPatience{100};  // RFC 8305, for slower resolvers
constexpr std::chrono::seconds kLongestTtl{60};

}  // namespace

Lookup::Lookup(loop::Loop& loop, SettingsFor settings_for, HasWay has_way, std::string name,
               Done done)
    : loop_(loop),
      settings_for_(std::move(settings_for)),
      has_way_(has_way),
      done_(std::move(done)),
      sides_{Side{.type = type::kAaaa, .name = name}, Side{.type = type::kA, .name = name}},
      ttl_(kLongestTtl) {}

void Lookup::Start(Upstream::Clock::time_point deadline) {
  deadline_ = loop_.After(deadline - Upstream::Clock::now(), [this] {
    for (Side& side : sides_) {
      if (side.over) continue;
      Note(side.exchange->server());
      End(side, Outcome::kTimedOut);
    }
  });
  for (Side& side : sides_) AskFor(side);
}

void Lookup::AskFor(Side& side) {
  Exchange::Settings settings = settings_for_(side.name);
  side.servers = settings.servers;
  side.exchange = std::make_unique<Exchange>(
      loop_, std::move(settings), side.name, side.type,
      [this, &side](Result<Response> result) { Take(side, std::move(result)); });
  side.exchange->Start();
}

void Lookup::Take(Side& side, Result<Response> result) {
  if (side.over) return;
  Note(side.exchange->server());
  if (!result.ok()) {
    const bool late = result.error().code() == ETIMEDOUT;
    return End(side, late ? Outcome::kTimedOut : Outcome::kFailed);
  }
  const std::string asked = side.name;
  const Outcome outcome = Collect(side, *result);
  // The last alias leads out of what this server knows.
  const bool further = outcome == Outcome::kNoAddress && side.name != asked;
  if (!further) return End(side, outcome);
  AskFor(side);
}

Outcome Lookup::Collect(Side& side, const Response& response) {
  const bool ipv6 = side.type == type::kAaaa;
  while (true) {
    const auto alias = std::find_if(
        response.records.begin(), response.records.end(),
        [&](const Record& record) { return record.owner == side.name && !record.alias.empty(); });
    if (alias == response.records.end()) break;
    if (++side.aliases > kMostAliases) return Outcome::kFailed;  // loops too
    side.name = alias->alias;
    ttl_ = std::min(ttl_, std::chrono::seconds(alias->ttl_seconds));
    // What it says of a name that others answer for does not count.
    if (settings_for_(side.name).servers != side.servers) return Outcome::kNoAddress;
  }
  for (const Record& record : response.records) {
    if (record.owner != side.name || !record.address || record.address->ipv6 != ipv6) continue;
    if (side.answer.addresses.size() >= Upstream::kMostAddresses / 2) break;
    side.answer.addresses.push_back(Canonical(*record.address));
    ttl_ = std::min(ttl_, std::chrono::seconds(record.ttl_seconds));
  }
  if (!side.answer.addresses.empty()) return Outcome::kFound;
  return response.code == Rcode::kNoName ? Outcome::kNoName : Outcome::kNoAddress;
}

void Lookup::End(Side& side, Outcome outcome) {
  side.over = true;
  side.answer.outcome = outcome;
  const bool all = std::all_of(sides_.begin(), sides_.end(), [](const Side& s) { return s.over; });
  if (all) {
    // Not from within an Exchange that this would destroy.
    if (!finish_) finish_ = loop_.After(std::chrono::nanoseconds(0), [this] { Finish(); });
  } else if (outcome == Outcome::kFound &&
             std::any_of(side.answer.addresses.begin(), side.answer.addresses.end(), has_way_)) {
    // Else this host may have the other family only, and what is late is all that it can reach.
    patience_ = loop_.After(kPatience, [this] {
      for (Side& waiting : sides_) {
        if (!waiting.over) End(waiting, Outcome::kTimedOut);
      }
    });
  }
}

void Lookup::Note(const Endpoint* server) {
  if (server == nullptr) return;
  if (std::find(asked_.begin(), asked_.end(), *server) == asked_.end()) asked_.push_back(*server);
}

Upstream::Answer Lookup::Unite() const {
  Upstream::Answer answer{.outcome = Outcome::kFound, .addresses = {}, .asked = asked_};
  for (const Side& side : sides_) {
    answer.addresses.insert(answer.addresses.end(), side.answer.addresses.begin(),
                            side.answer.addresses.end());
  }
  if (!answer.addresses.empty()) return answer;
  // That there is no such name or address counts only if both families say so.
  answer.outcome = std::max(sides_[0].answer.outcome, sides_[1].answer.outcome);
  return answer;
}

void Lookup::Finish() {
  const Done done = std::move(done_);
  done(this, Unite(), ttl_);
}

}  // namespace cellrun::net
