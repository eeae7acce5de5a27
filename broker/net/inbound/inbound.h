// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "broker/net/connections/dial.h"
#include "broker/net/connections/engine.h"
#include "broker/net/connections/target.h"
#include "broker/net/inbound/cell_sockets.h"
#include "broker/net/inbound/published.h"
#include "broker/net/relay/lease.h"
#include "broker/net/relay/relay.h"

namespace cellrun::net {

// What comes in through the ports that a cell publishes. The broker listens on the host; for each
// connection init hands out a socket of the cell's network, and the broker connects that to the
// port on the cell's own loopback. Nothing of the host's network enters the cell.
class Inbound : public std::enable_shared_from_this<Inbound> {
 public:
  static constexpr std::size_t kMaxConnections = 1024;
  static constexpr std::chrono::seconds kArrival{10};  // until the cell's server has taken it

  struct Parts {
    Engine& engine;
    CellIdentity cell;
    journal::Sink& journal;
    std::vector<Published> published;
    CellSockets::Order order;  // called on any thread, answered by Give
    bool audit = true;
  };
  static std::shared_ptr<Inbound> Make(Parts parts);
  ~Inbound();
  Inbound(const Inbound&) = delete;
  Inbound& operator=(const Inbound&) = delete;

  // All of these are thread-safe.
  void Start();
  void Give(int family, Result<UniqueFd> made);
  // For another cell, whose name `who` is: a connection to the port that this one publishes, by its
  // number here or on the host. ECONNREFUSED: it is not published, or nobody listens. `done` comes
  // once, on any thread.
  void Join(std::uint16_t port, const std::string& who, Dial::Done done);
  // Cuts everything, but for `leftovers`, which go on by themselves, and listens no more. Not on a
  // reactor's thread.
  void Stop(Leftovers leftovers = Leftovers::kCut);

 private:
  class Gate;
  struct Connection;
  using ConnectionId = std::uint64_t;

  explicit Inbound(Parts parts);
  // All of these on the home reactor's thread.
  void Open();
  void OnAccept(const Gate& gate);
  bool RefuseOne(const Gate& gate, int why);
  void Admit(const PortMapping& mapping, UniqueFd accepted, int obstacle);
  void Connect(Connection& connection);
  void OnSockets(ConnectionId id, Result<CellSockets::Pair> sockets);
  void OnDialled(ConnectionId id, Result<Dial::Made> made);
  void StartRelay(Connection& connection, Dial::Made made);
  void Lend(Connection& connection, Dial::Made made);
  void OnEnded(ConnectionId id, const Traffic& traffic, const char* how);
  void Fail(ConnectionId id, int code, const char* why);
  void Close(Leftovers leftovers, std::function<void()> closed);
  void LetGo(ConnectionId id);
  static journal::Record RecordOf(const Connection& connection, const CellIdentity& cell);
  static void RecordEnd(Connection& connection, const CellIdentity& cell, journal::Sink& journal,
                        const Traffic& traffic, const char* how);
  [[nodiscard]] bool HasOwn() const;
  Connection& Add(const PortMapping& mapping);

  Parts parts_;
  Reactor& home_;
  std::mutex stop_mutex_;
  bool stopped_ = false;  // guarded by stop_mutex_
  // The rest belongs to the home reactor's thread.
  CellSockets sockets_;
  std::vector<std::shared_ptr<Gate>> gates_;
  std::map<ConnectionId, std::unique_ptr<Connection>> connections_;
  ConnectionId last_ = 0;
  bool closed_ = false;
  std::function<void()> on_empty_;
};

}  // namespace cellrun::net
