// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/net/connections/dial.h"
#include "broker/net/connections/target.h"
#include "broker/net/proxy/handshake.h"
#include "broker/net/proxy/proxy.h"

namespace cellrun::net {

// What came of looking for a name's addresses.
struct Resolution {
  Result<std::vector<Address>> addresses;
  std::string resolver{};  // who was asked; "" for nobody
};
// Finds a name's addresses; the callback comes once, on any thread.
using Resolved = std::function<void(Resolution)>;
using Resolve = std::function<void(const std::string& name, Resolved)>;

// Connects to a port that another cell publishes, on behalf of the cell called `who`; `done` comes
// once, on any thread. EHOSTUNREACH: there is no such cell. ECONNREFUSED: it publishes no such
// port.
using ReachCell = std::function<void(const std::string& name, std::uint16_t port,
                                     const std::string& who, Dial::Done done)>;

// The way out of one allowed connection: the name is resolved, each address judged, and exactly
// what was judged is dialled. On its reactor's thread only.
class Outgoing : public std::enable_shared_from_this<Outgoing> {
 public:
  struct Means {
    Reactor& reactor;
    std::shared_ptr<const EgressJudge> judge;
    Resolve resolve;
    ReachCell reach_cell{};                // null: no other cell can be reached
    std::string who{};                     // this cell's name
    std::shared_ptr<ProxyAccess> proxy{};  // null: connections leave directly
  };
  static std::shared_ptr<Outgoing> Make(Means means, Target target);

  void Start();
  // `over` is called once it has come to an end; at once if it has. The last one counts.
  void WhenOver(std::function<void()> over);
  [[nodiscard]] bool over() const { return result_.has_value(); }
  // Of one that is over. EACCES: no address of the name may be dialled.
  [[nodiscard]] Result<Dial::Made> Take();
  // Who was asked for the name's addresses; "" as long as nobody has answered or failed to.
  [[nodiscard]] const std::string& resolver() const { return resolver_; }
  // Of one that is over, because the policy refuses each address of the name: the last one.
  struct Refused {
    Address address;
    Verdict verdict;
  };
  [[nodiscard]] const std::optional<Refused>& refused() const { return refused_; }
  void Cancel();

  Outgoing(Means means, Target target);
  ~Outgoing();
  Outgoing(const Outgoing&) = delete;
  Outgoing& operator=(const Outgoing&) = delete;

 private:
  void OnResolved(Result<std::vector<Address>> addresses);
  void JoinCell(const std::string& name);
  [[nodiscard]] bool LeavesByProxy() const;
  void FindProxy();
  void OnProxy(const Result<ProxyAccess::Known>& proxy);
  void DialProxy(std::vector<Endpoint> to);
  void OnProxyDialled(Result<Dial::Made> made);
  void Resolve(const std::string& name,
               void (Outgoing::*resolved)(Result<std::vector<Address>> addresses));
  void OnProxyResolved(Result<std::vector<Address>> addresses);
  void DialAll(std::vector<Endpoint> to);
  void DialLiteral(const Address& address);
  void End(Result<Dial::Made> result);
  // What refuses to dial it; nothing: it may be.
  [[nodiscard]] std::optional<Verdict> WhyNot(const Address& address, bool own) const;

  Means means_;
  const Target target_;
  std::shared_ptr<Dial> dial_;
  ProxyAccess::Known proxy_;
  std::shared_ptr<Handshake> handshake_;
  std::optional<Result<Dial::Made>> result_;
  std::map<Address, bool> judged_;  // those that may be dialled; whether it is this machine's own
  std::string resolver_;
  std::optional<Refused> refused_;
  std::function<void()> over_;
};

}  // namespace cellrun::net
