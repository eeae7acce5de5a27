// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/loop/loop.h"
#include "broker/net/upstream/exchange.h"
#include "broker/net/upstream/upstream.h"

namespace cellrun::net {

// The addresses of one name in both families, aliases followed, each name from its own servers.
// Where one family has answered, the other one gets a moment longer. On the loop's thread; `done`
// is called once, from the loop, unless it is destroyed before, which it may be by `done`.
class Lookup {
 public:
  using Done =
      std::function<void(const Lookup*, const Upstream::Answer&, std::chrono::seconds ttl)>;
  // Who is asked for a name.
  using SettingsFor = std::function<Exchange::Settings(const std::string& name)>;
  using HasWay = Upstream::HasWay;
  Lookup(loop::Loop& loop, SettingsFor settings_for, HasWay has_way, std::string name, Done done);
  void Start(Upstream::Clock::time_point deadline);

 private:
  // One family.
  struct Side {
    std::uint16_t type = 0;
    std::string name{};               // as far as the aliases led
    std::vector<Endpoint> servers{};  // of that name
    std::size_t aliases = 0;          // followed so far
    std::unique_ptr<Exchange> exchange{};
    bool over = false;
    Upstream::Answer answer{};
  };
  void AskFor(Side& side);
  void Take(Side& side, Result<Response> result);
  // Follows the aliases of a response and collects the addresses at their end.
  Upstream::Outcome Collect(Side& side, const Response& response);
  void End(Side& side, Upstream::Outcome outcome);
  void Finish();
  void Note(const Endpoint* server);
  [[nodiscard]] Upstream::Answer Unite() const;

  loop::Loop& loop_;
  const SettingsFor settings_for_;
  const HasWay has_way_;
  Done done_;
  std::array<Side, 2> sides_;  // IPv6 first
  std::vector<Endpoint> asked_;
  std::chrono::seconds ttl_;
  std::unique_ptr<loop::Loop::Timer> deadline_, patience_, finish_;
};

}  // namespace cellrun::net
