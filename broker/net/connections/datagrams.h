// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "broker/net/connections/outgoing.h"
#include "broker/net/connections/target.h"
#include "broker/net/gateway/socket_stock.h"
#include "broker/net/reactor/reactor.h"
#include "broker/net/resolver/token_bucket.h"

namespace cellrun::net {

// UDP of one cell. A socket of the gateway for each address and port that a rule lets out; what
// comes from one socket of the cell is a flow, judged by its first datagram, with a socket of its
// own outside. Only on its reactor's thread.
class Datagrams {
 public:
  static constexpr std::size_t kMaxGates = 256;
  static constexpr std::size_t kMaxFlows = 512;
  static constexpr std::chrono::seconds kBusy{1};  // a flow that nothing takes the place of
  static constexpr std::size_t kMaxWaiting = 16;   // datagrams of a flow whose way out is not there
  static constexpr std::chrono::seconds kIdle{120};

  using Ask = std::function<std::function<void()>(
      const Origin&, const Target&, std::function<void(bool approved, const std::string& why)>)>;
  struct Parts {
    Reactor& reactor;
    SocketStock& stock;
    const CellIdentity& cell;
    journal::Sink& journal;
    std::function<Target(const Endpoint&)> judge;
    std::function<std::shared_ptr<Outgoing>(const Target&)> way_out;
    // Under the policy of this moment, with the address that a name has led to.
    std::function<bool(const Target&, const std::optional<Dial::Judged>& dialled, bool approved)>
        still_let_out;
    // `outgoing` may be null.
    std::function<void(const Origin&, const Target&, const Outgoing* outgoing, std::string result)>
        record_failure;
    Ask ask;  // may be null
  };
  explicit Datagrams(Parts parts);
  ~Datagrams();
  Datagrams(const Datagrams&) = delete;
  Datagrams& operator=(const Datagrams&) = delete;

  // What is sent there is taken from now on; of too many the one that is unused longest goes.
  // `lasting`: not this one, since nobody will ask for it again. ENOSPC: all are of these, or they
  // change too fast.
  enum class Stay : std::uint8_t { kLasting, kWhileUsed };
  Result<void> Open(const Endpoint& endpoint, Stay stay);
  // Whose the next flow to this address is.
  void Expect(const Endpoint& endpoint, Origin origin);
  // The policy has changed.
  void Rejudge();
  void Close();

 private:
  class Gate;
  class Flow;
  using FlowKey = std::pair<Endpoint, Endpoint>;  // of the cell, and where it goes

  void Take(Gate& gate);
  bool DropOldestGate();
  bool DropOldestFlow();
  void RecordDropped();
  Flow* NewFlow(Gate& gate, const FlowKey& key);
  void StartFlow(Flow& flow);
  void Connect(const FlowKey& key);
  void EndFlow(const FlowKey& key, const char* how);
  void Sweep();

  Parts parts_;
  std::map<Endpoint, std::shared_ptr<Gate>> gates_;
  std::map<Endpoint, Origin> expected_;
  std::map<FlowKey, std::shared_ptr<Flow>> flows_;
  // Each that makes room costs a new socket, which comes from another process.
  TokenBucket room_{50, 500};
  std::uint64_t uses_ = 0;
  std::uint64_t dropped_ = 0;  // datagrams that there was no room for, until it is recorded
  Reactor::TimerId sweep_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace cellrun::net
