// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "broker/net/connections/datagrams.h"
#include "broker/net/connections/engine.h"
#include "broker/net/connections/outgoing.h"
#include "broker/net/connections/target.h"
#include "broker/net/gateway/socket_stock.h"
#include "broker/net/names/names.h"
#include "broker/net/relay/relay.h"

namespace cellrun::net {

// What the cell's programs connect to, and how that comes about. The broker listens in the gateway
// on exactly the addresses that somebody was allowed to connect to; the verdict that counts is the
// one about the accepted socket's own address. Everything is bounded, and what does not fit is
// refused and recorded.
class Egress : public std::enable_shared_from_this<Egress> {
 public:
  static constexpr std::size_t kMaxListeners = 256;
  static constexpr std::size_t kMaxConnections = 2048;
  static constexpr std::size_t kMaxAttempts = 1024;

  // Asks a person; `decided` comes once, on any thread, unless the returned function was called
  // before: then nobody waits for the answer any more.
  using Decided = std::function<void(bool approved, const std::string& why)>;
  using Ask = std::function<std::function<void()>(const Origin&, const Target&, Decided)>;

  struct Parts {
    Engine& engine;
    CellIdentity cell;
    journal::Sink& journal;
    std::unique_ptr<SocketStock> stock;
    std::shared_ptr<EgressJudge> judge;
    std::shared_ptr<Names> names;
    Resolve resolve = nullptr;  // null: no name can be resolved
    Ask ask = nullptr;          // null: nobody is there to be asked
    ReachCell reach_cell = nullptr;
    std::shared_ptr<ProxyAccess> proxy = nullptr;
    // For the programs of the cell: a connection that was denied after its connect(2) was judged,
    // and the number of its record. On any thread. Null: nobody reads it.
    std::function<void(const journal::Record& record, std::uint64_t seq)> tell = nullptr;
  };
  static std::shared_ptr<Egress> Make(Parts parts);
  ~Egress();
  Egress(const Egress&) = delete;
  Egress& operator=(const Egress&) = delete;

  [[nodiscard]] const CellIdentity& cell() const { return parts_.cell; }
  // What an address means, and whether it may be connected to. Thread-safe, does not block.
  [[nodiscard]] Target Judge(const Endpoint& endpoint, Protocol protocol) const;

  // 0: the kernel may carry the call out; else the errno that it fails with.
  using Reply = std::function<void(int code)>;
  struct Attempt {
    Origin origin;
    Target target;
    UniqueFd socket;        // the program's own, to know it again; may be invalid
    bool blocking = false;  // it waits for the outcome: it gets the errno of the dial
  };
  // A connect that Judge has not denied. `reply` comes once, on another thread, within about a
  // second. Thread-safe.
  void Connect(Attempt attempt, Reply reply);

  // Takes datagrams for these from now on, as far as the policy lets out UDP there. Returns when it
  // does. Not on a reactor's thread.
  void OpenDatagrams(const std::vector<Endpoint>& endpoints, Datagrams::Stay stay);

  // The policy has changed: what it no longer allows is cut. Thread-safe.
  void Rejudge();
  // The cell has ended: cuts everything, but for `leftovers`, which go on by themselves. No reply
  // comes after it has returned. Not on a reactor's thread.
  void Stop(Leftovers leftovers = Leftovers::kCut);

 private:
  class Gate;
  struct Waiting;
  struct Connection;
  using ConnectionId = std::uint64_t;

  explicit Egress(Parts parts);
  // On the caller's thread. false: it has to go the long way.
  bool ConnectAtOnce(const std::shared_ptr<Waiting>& waiting);
  // All of these on the home reactor's thread.
  void Begin(const std::shared_ptr<Waiting>& waiting);
  void TakeIncoming(const std::lock_guard<std::mutex>& held);
  void BeginDatagrams(const Attempt& attempt, const Reply& reply);
  Result<void> Listen(const Endpoint& endpoint);
  void DropOldestGate();
  void CloseGate(const Endpoint& endpoint);
  void CloseGate(const Endpoint& endpoint, const std::lock_guard<std::mutex>& held);
  void StartDial(const std::shared_ptr<Waiting>& waiting);
  void OnDialled(const std::shared_ptr<Waiting>& waiting);
  void Sweep();
  void OnAccept(int listener);
  bool RefuseOne(int listener, int why);
  void PauseGate(int listener);
  void Admit(UniqueFd accepted, int obstacle);
  std::shared_ptr<Waiting> Match(const Endpoint& to, const Endpoint& peer);
  void RecordFailure(const Origin& origin, const Target& target, const Outgoing* outgoing,
                     std::string result) const;
  void AskPerson(Connection& connection);
  void Proceed(ConnectionId id);
  void Join(ConnectionId id);
  void StartRelay(Connection& connection, Dial::Made made);
  void OnRelayed(ConnectionId id, const Traffic& traffic, const char* how);
  void LetGo(ConnectionId id);
  static void RecordEnd(const Connection& connection, const CellIdentity& cell,
                        journal::Sink& journal, const Traffic& traffic, const char* how);
  void Fail(ConnectionId id, int code, const char* result);
  void CutDenied();
  [[nodiscard]] bool IsStillLetOut(const Target& target, const std::optional<Dial::Judged>& dialled,
                                   bool approved) const;
  void Close(Leftovers leftovers, std::function<void()> closed);
  void Refuse(const Attempt& attempt, const Reply& reply, int code, const char* why);
  std::shared_ptr<Outgoing> MakeOutgoing(const Target& target);

  Parts parts_;
  Reactor& home_;
  std::atomic<std::size_t> held_{0};  // how many connections there are
  std::mutex mutex_;
  bool stopped_ = false;                            // guarded by mutex_, as the next three
  std::set<Endpoint> open_;                         // where there are gates
  std::vector<std::shared_ptr<Waiting>> incoming_;  // on their way to waiting_
  bool sweeping_ = false;                           // there is, or will be, a sweep
  // The rest belongs to the home reactor's thread.
  std::map<Endpoint, std::shared_ptr<Gate>> gates_;
  std::uint64_t uses_ = 0;
  std::list<std::shared_ptr<Waiting>> waiting_;
  std::map<ConnectionId, std::unique_ptr<Connection>> connections_;
  ConnectionId last_connection_ = 0;
  Reactor::TimerId sweep_ = 0;
  Datagrams datagrams_;
  bool closed_ = false;
  std::function<void()> on_empty_;  // closed, and the last relay has ended
};

}  // namespace cellrun::net
