// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/loop/loop.h"
#include "broker/net/address/address.h"
#include "broker/net/upstream/exchange.h"

namespace cellrun::net {

class Lookup;

// The real resolution of one cell's names, when it connects: A and AAAA from the servers of the
// host's resolv.conf(5), read anew each time, or from those of `network.dns.upstream`; a domain of
// `network.dns.split` has its own, and its names are asked of nobody else, whether or not they
// answer. A server that was silent is asked last for a while. /etc/hosts is not consulted and no
// search list applied: the name that was judged is the name that is asked for. The addresses have
// to be judged (EgressJudge::MayDial) before one is dialled. Made and destroyed on the thread of
// its loop.
class Upstream {
 public:
  struct Servers {
    std::vector<Endpoint> all{};                           // empty: those of `resolv_conf`
    std::map<std::string, std::vector<Endpoint>> split{};  // by domain; empty: those as well
    bool operator==(const Servers&) const = default;
  };
  using HasWay = bool (*)(const Address& address);  // whether this host could send there
  struct Settings {
    Servers servers{};
    std::string resolv_conf = "/etc/resolv.conf";
    std::chrono::milliseconds try_time{1'500};
    std::size_t pending = 64;  // names that are looked up at once; more are refused
    std::size_t remembered = 256;
    std::chrono::milliseconds silence{30'000};  // how long a silent server is asked last
    HasWay has_way = nullptr;                   // null: what this host's routes say
  };
  enum class Outcome : std::uint8_t {
    kFound,
    kNoName,     // NXDOMAIN
    kNoAddress,  // it exists and has none
    kTimedOut,
    kFailed,  // servers that refuse, lie or cannot be reached; an alias loop
    kBusy,    // too many at once
  };
  struct Answer {
    Outcome outcome = Outcome::kFailed;
    std::vector<Address> addresses{};  // canonical, IPv6 first, at most kMostAddresses
    std::vector<Endpoint> asked{};     // servers: that answered, or that failed last
  };
  static constexpr std::size_t kMostAddresses = 16;
  using Done = std::function<void(const Answer&)>;
  using Clock = std::chrono::steady_clock;

  Upstream(loop::Loop& loop, Settings settings);
  ~Upstream();
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  // On the loop's thread, as `done` is: once, perhaps before this returns, unless the Upstream is
  // destroyed before. `name` is a host name in lower case. Whoever wants a name that is being
  // looked up gets the same answer, by the deadline of the first.
  void Resolve(const std::string& name, Clock::time_point deadline, Done done);
  // From now on; what is remembered of others is forgotten.
  void Use(Servers servers);
  // How many lookups went to a server so far.
  [[nodiscard]] std::uint64_t asked() const { return asked_; }

 private:
  struct Remembered {
    Answer answer;
    Clock::time_point until;
  };
  struct Pending {
    std::unique_ptr<Lookup> lookup;
    std::vector<Done> waiting;
  };
  void Finish(const std::string& name, const Lookup* ended, const Answer& answer,
              std::chrono::seconds ttl);
  void Remember(const std::string& name, const Answer& answer, std::chrono::seconds ttl);
  [[nodiscard]] Exchange::Settings ServersFor(const std::string& name);
  [[nodiscard]] bool IsSilent(const Endpoint& server) const;

  loop::Loop& loop_;
  Settings settings_;
  std::unordered_map<const Lookup*, Pending> pending_;
  std::unordered_map<std::string, const Lookup*> current_;  // by name; of the servers of now
  std::unordered_map<std::string, Remembered> remembered_;
  std::map<Endpoint, Clock::time_point> silent_;  // until when
  std::uint64_t asked_ = 0;
};

}  // namespace cellrun::net
