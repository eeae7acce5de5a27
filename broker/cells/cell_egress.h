// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "broker/approvals/queue.h"
#include "broker/cells/connection_asks.h"
#include "broker/cells/refused_names.h"
#include "broker/cells/shared_profile.h"
#include "broker/journal/record.h"
#include "broker/loop/loop.h"
#include "broker/loop/pool.h"
#include "broker/net/connections/egress.h"
#include "broker/net/resolver/resolver.h"
#include "broker/net/upstream/upstream.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/profile.h"

namespace cellrun::cells {

// All that a cell with a gateway has for its connections. Only on the loop's thread.
class CellEgress {
 public:
  struct Services {
    loop::Loop& loop;
    net::Engine& engine;
    journal::Sink& journal;
    approvals::Queue& approvals;
    std::string home;  // whose package managers `@npm` and its like mean
    // A name that nothing lets out was asked for: for those who can read what was denied.
    std::function<void(journal::Record record)> on_refused;
    // The same of a connection whose record is kept already.
    std::function<void(const journal::Record& record, std::uint64_t seq)> tell;
    net::ReachCell reach_cell;
    loop::Pool& pool;
    const std::vector<std::string>& environment;  // of who started the cell, for the proxy's secret
  };
  // `gateway`: as in wire::kGatewayBuilt; `user` owns that namespace.
  static Result<std::unique_ptr<CellEgress>> Start(const Services& services,
                                                   const net::CellIdentity& cell,
                                                   const SharedProfile& profile,
                                                   const AskTerms& terms, UniqueFd user,
                                                   std::vector<UniqueFd> gateway);
  ~CellEgress();
  CellEgress(const CellEgress&) = delete;
  CellEgress& operator=(const CellEgress&) = delete;

  [[nodiscard]] const std::shared_ptr<net::Egress>& egress() const { return egress_; }
  // What its resolver has done so far.
  [[nodiscard]] std::map<std::string, std::uint64_t> Lookups() const {
    return resolver_->counters().Read();
  }
  // From now on; connections that it no longer allows are cut.
  Result<void> ReplacePolicy(const SharedProfile& profile);
  // Everything is cut, but for `leftovers`; nothing answers a call any more.
  void Stop(net::Leftovers leftovers = net::Leftovers::kCut);

 private:
  CellEgress() = default;
  [[nodiscard]] net::ResolverEvents Events();
  [[nodiscard]] std::vector<std::uint16_t> DatagramPorts() const;
  void OpenFixedDatagrams() const;
  void OpenDatagrams(const std::vector<net::Address>& addresses,
                     const std::vector<std::uint16_t>& ports, net::Datagrams::Stay stay) const;
  Result<void> Compile(const SharedProfile& profile);
  void LetNothingOut(const Error& why);
  std::string home_;
  std::unique_ptr<RefusedNames> refused_;
  std::shared_ptr<const std::function<void(const journal::Record& record, std::uint64_t seq)>>
      tell_;
  SharedProfile profile_;
  loop::Loop* loop_ = nullptr;
  std::unique_ptr<loop::Loop::Timer> expiry_;
  std::shared_ptr<net::Names> names_;
  std::shared_ptr<net::EgressJudge> judge_;
  std::unique_ptr<net::Resolver> resolver_;
  std::shared_ptr<net::Upstream> upstream_;
  std::shared_ptr<net::Egress> egress_;
  bool stopped_ = false;
};

}  // namespace cellrun::cells
