// SPDX-License-Identifier: Apache-2.0
#include "broker/net/inbound/inbound.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <nlohmann/json.hpp>
#include <utility>

#include "lib/base/log.h"
#include "lib/sys/internet.h"
#include "lib/sys/socket_owner.h"

namespace cellrun::net {
namespace {

constexpr int kAcceptsATurn = 64;
constexpr std::chrono::milliseconds kPause{50};  // until descriptors have come back

Address Loopback6() {
  Address address{.bytes = {}, .ipv6 = true};
  address.bytes.back() = 1;
  return address;
}

// Who has connected, as a record says it: the address, and the user where it is of this host.
nlohmann::json CallerOf(const UniqueFd& accepted) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  nlohmann::json caller = nlohmann::json::object();
  if (getpeername(accepted.get(), reinterpret_cast<sockaddr*>(&peer), &size) != 0) return caller;
  const auto from = EndpointOf({reinterpret_cast<const char*>(&peer), sizeof peer});
  if (from) caller["from"] = PortMapping{.inner = 0, .outer = *from, .at = {}}.OuterText();
  const Result<sockaddr_storage> own = sys::LocalAddress(accepted);
  if (!own.ok()) return caller;
  const Result<uid_t> owner = sys::SocketOwner(peer, *own);
  if (owner.ok()) caller["from_uid"] = *owner;
  return caller;
}

}  // namespace

// A socket that listens on the host.
class Inbound::Gate : public Source {
 public:
  Gate(Inbound& inbound, Published& made)
      : mapping(made.mapping), listener(std::move(made.listener)), inbound_(inbound) {}
  void OnReady(int /*fd*/, std::uint32_t /*events*/) override { inbound_.OnAccept(*this); }
  const PortMapping mapping;
  UniqueFd listener;

 private:
  Inbound& inbound_;
};

struct Inbound::Connection {
  Connection(ConnectionId number, PortMapping where) : id(number), mapping(std::move(where)) {}
  const ConnectionId id;
  const PortMapping mapping;
  UniqueFd outside;      // until it is relayed; not of one for another cell
  Dial::Done lend;       // of one for another cell, until it is called
  nlohmann::json facts;  // of its records
  std::shared_ptr<Dial> dial;
  std::shared_ptr<Relay> relay;
  std::weak_ptr<Lease> lease;
  bool lent = false;
  Engine::Place place;
  Reactor::TimerId limit = 0;
  std::uint64_t seq = 0;
  std::chrono::steady_clock::time_point since = std::chrono::steady_clock::now();
};

std::shared_ptr<Inbound> Inbound::Make(Parts parts) {
  return std::shared_ptr<Inbound>(new Inbound(std::move(parts)));
}

Inbound::Inbound(Parts parts)
    : parts_(std::move(parts)), home_(parts_.engine.Next()), sockets_(parts_.order) {}

Inbound::~Inbound() = default;

void Inbound::Start() {
  home_.Post([self = shared_from_this()] { self->Open(); });
}

void Inbound::Open() {
  if (closed_) return;
  sockets_.Fill();
  for (Published& published : parts_.published) {
    auto gate = std::make_shared<Gate>(*this, published);
    const Result<void> watched = home_.Watch(gate->listener.get(), EPOLLIN, gate);
    if (!watched.ok()) {
      log::Fail("a published port is not served", {{"error", watched.error().ToString()}});
      continue;
    }
    gates_.push_back(std::move(gate));
  }
}

void Inbound::Give(int family, Result<UniqueFd> made) {
  home_.Post([self = shared_from_this(), family,
              held = std::make_shared<Result<UniqueFd>>(std::move(made))] {
    if (!self->closed_) self->sockets_.Give(family, std::move(*held));
  });
}

void Inbound::OnAccept(const Gate& gate) {
  for (int i = 0; i < kAcceptsATurn; ++i) {
    UniqueFd accepted(accept4(gate.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (accepted.valid()) {
      Admit(gate.mapping, std::move(accepted), 0);
      continue;
    }
    if (errno != EMFILE && errno != ENFILE && errno != ENOMEM && errno != ENOBUFS) return;
    if (RefuseOne(gate, errno)) continue;
    // Who connects waits in the backlog.
    home_.Change(gate.listener.get(), 0);
    home_.After(kPause, [weak = weak_from_this(), fd = gate.listener.get()] {
      const auto self = weak.lock();
      if (self && !self->closed_) self->home_.Change(fd, EPOLLIN);
    });
    return;
  }
}

// No descriptors: who has connected is told so by a reset. False: there was nobody, or not even the
// descriptor that this takes, nor one of those that are kept for later connections.
bool Inbound::RefuseOne(const Gate& gate, int why) {
  bool refused = false;
  const auto refuse = [&] {
    UniqueFd accepted(accept4(gate.listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    refused = accepted.valid();
    if (refused) Admit(gate.mapping, std::move(accepted), why);
  };
  while (!home_.WithSpare(refuse) && sockets_.Shrink()) {
  }
  return refused;
}

Inbound::Connection& Inbound::Add(const PortMapping& mapping) {
  auto made = std::make_unique<Connection>(++last_, mapping);
  Connection& connection = *made;
  connections_[connection.id] = std::move(made);
  return connection;
}

// `obstacle`: 0, or why it cannot go on.
void Inbound::Admit(const PortMapping& mapping, UniqueFd accepted, int obstacle) {
  Connection& connection = Add(mapping);
  connection.facts = CallerOf(accepted);
  connection.facts["published"] = mapping.OuterText();
  connection.outside = std::move(accepted);
  if (obstacle != 0) return Fail(connection.id, obstacle, "the broker has no descriptor for it");
  Connect(connection);
}

void Inbound::Join(std::uint16_t port, const std::string& who, Dial::Done done) {
  const std::lock_guard lock(stop_mutex_);
  if (stopped_) return done(Error(ECONNREFUSED, "connect"));
  home_.Post([self = shared_from_this(), port, who, done = std::move(done)]() mutable {
    const auto& gates = self->gates_;
    const auto publishes = [&](bool inside) {
      return std::find_if(gates.begin(), gates.end(), [&](const auto& gate) {
        return (inside ? gate->mapping.inner : gate->mapping.outer.port) == port;
      });
    };
    auto found = publishes(true);
    if (found == gates.end()) found = publishes(false);
    if (found == gates.end()) return done(Error(ECONNREFUSED, "connect"));
    Connection& connection = self->Add((*found)->mapping);
    connection.facts["from"] = "cell " + who;
    connection.lend = std::move(done);
    self->Connect(connection);
  });
}

void Inbound::Connect(Connection& connection) {
  const ConnectionId id = connection.id;
  if (connections_.size() > kMaxConnections || parts_.engine.Full())
    return Fail(id, EAGAIN, "there are as many connections as can be held");
  connection.limit = home_.After(kArrival, [this, id] {
    connections_.at(id)->limit = 0;
    Fail(id, ETIMEDOUT, "the cell did not take the connection");
  });
  sockets_.Take(
      [this, id](Result<CellSockets::Pair> sockets) { OnSockets(id, std::move(sockets)); });
}

void Inbound::OnSockets(ConnectionId id, Result<CellSockets::Pair> sockets) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  if (!sockets.ok()) return Fail(id, sockets.error().code(), "init made no socket");
  const std::uint16_t port = found->second->mapping.inner;
  auto pair = std::make_shared<CellSockets::Pair>(std::move(*sockets));
  std::vector<Endpoint> to = {{.address = Ipv4(INADDR_LOOPBACK), .port = port}};
  if (pair->six.valid()) to.push_back({.address = Loopback6(), .port = port});
  found->second->dial = Dial::Make(
      home_, std::move(to),
      [weak = weak_from_this(), id](Result<Dial::Made> made) {
        if (const auto self = weak.lock()) self->OnDialled(id, std::move(made));
      },
      [pair](int family) -> Result<UniqueFd> {
        UniqueFd taken = std::move(family == AF_INET6 ? pair->six : pair->four);
        if (!taken.valid()) return Error(EAFNOSUPPORT, "socket");
        return taken;
      });
  found->second->dial->Start();
}

void Inbound::OnDialled(ConnectionId id, Result<Dial::Made> made) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  if (!made.ok()) return Fail(id, made.error().code(), "nobody takes it in the cell");
  home_.Cancel(std::exchange(connection.limit, 0));
  // Recorded before the first byte gets in.
  if (parts_.audit) {
    journal::Record record = RecordOf(connection, parts_.cell);
    record.result = "connected";
    connection.seq = parts_.journal.Append(std::move(record));
    if (connection.seq == 0) return Fail(id, EIO, "the journal cannot keep it");
  }
  if (connection.lend) return Lend(connection, std::move(*made));
  StartRelay(connection, std::move(*made));
}

void Inbound::StartRelay(Connection& connection, Dial::Made made) {
  const ConnectionId id = connection.id;
  constexpr int kOn = 1;
  (void)setsockopt(connection.outside.get(), IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
  (void)setsockopt(connection.outside.get(), SOL_SOCKET, SO_KEEPALIVE, &kOn, sizeof kOn);
  connection.place = parts_.engine.Enter(home_);
  Reactor& reactor = *connection.place.reactor;
  connection.relay =
      Relay::Make(reactor, std::move(made.socket), std::move(connection.outside),
                  [self = shared_from_this(), id](const Traffic& traffic, const char* how) {
                    self->home_.Post([self, id, traffic, how] { self->OnEnded(id, traffic, how); });
                  });
  const auto start = [relay = connection.relay] {
    if (!relay->Start().ok()) relay->Cut("no descriptors");
  };
  if (&reactor == &home_) return start();
  reactor.Post(start);
}

// The other cell's relay carries it, and tells what came of it. Its `out` is what comes in here.
void Inbound::Lend(Connection& connection, Dial::Made made) {
  connection.lent = true;
  made.lease = std::make_shared<Lease>(
      [self = shared_from_this(), id = connection.id](const Traffic& traffic, const char* how) {
        self->home_.Post([self, id, traffic, how] {
          self->OnEnded(id, {.in = traffic.out, .out = traffic.in}, how);
        });
      });
  connection.lease = made.lease;
  std::exchange(connection.lend, nullptr)(std::move(made));
}

void Inbound::OnEnded(ConnectionId id, const Traffic& traffic, const char* how) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const std::unique_ptr<Connection> connection = std::move(found->second);
  connections_.erase(found);
  if (connection->relay != nullptr) parts_.engine.Leave(connection->place);
  if (parts_.audit) RecordEnd(*connection, parts_.cell, parts_.journal, traffic, how);
  if (!HasOwn() && on_empty_) std::exchange(on_empty_, nullptr)();
}

// It needs nothing any more of what goes with the cell.
void Inbound::LetGo(ConnectionId id) {
  const std::shared_ptr<Connection> connection = std::move(connections_.at(id));
  connections_.erase(id);
  const std::shared_ptr<Relay> relay = std::move(connection->relay);
  const auto over = [connection, cell = parts_.cell, &journal = parts_.journal,
                     &engine = parts_.engine,
                     audit = parts_.audit](const Traffic& traffic, const char* how) {
    engine.Leave(connection->place);
    if (audit) RecordEnd(*connection, cell, journal, traffic, how);
  };
  // The relay's own word that it has ended, should it be under way, finds no connection.
  connection->place.reactor->Post([relay, over] { relay->Finish(kLeftoversArrive, over); });
}

void Inbound::RecordEnd(Connection& connection, const CellIdentity& cell, journal::Sink& journal,
                        const Traffic& traffic, const char* how) {
  const auto lasted = std::chrono::steady_clock::now() - connection.since;
  connection.facts["connection"] = connection.seq;
  connection.facts["duration_ms"] =
      std::chrono::duration_cast<std::chrono::milliseconds>(lasted).count();
  journal::Record record = RecordOf(connection, cell);
  record.result = how;
  record.bytes_in = traffic.in;
  record.bytes_out = traffic.out;
  (void)journal.Append(std::move(record));  // it is over either way
}

journal::Record Inbound::RecordOf(const Connection& connection, const CellIdentity& cell) {
  journal::Record record =
      journal::RecordNow(journal::Kind::kConnect, cell.id, 0, cell.inside_uid, cell.user);
  record.to = "127.0.0.1";
  record.port = connection.mapping.inner;
  record.proto = "tcp";
  record.verdict = policy::Action::kAllow;
  record.rule = {.name = "publish", .layer = policy::Layer::kProfile, .at = connection.mapping.at};
  nlohmann::json detail = connection.facts;
  detail["inbound"] = true;
  record.detail = detail.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return record;
}

void Inbound::Fail(ConnectionId id, int code, const char* why) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const std::unique_ptr<Connection> connection = std::move(found->second);
  connections_.erase(found);
  if (connection->limit != 0) home_.Cancel(connection->limit);
  if (connection->dial != nullptr) connection->dial->Cancel();
  if (connection->outside.valid()) ResetOnClose(connection->outside);
  journal::Record record = RecordOf(*connection, parts_.cell);
  record.reason = why;
  record.result = "failed:" + ErrnoName(code);
  (void)parts_.journal.Append(std::move(record));  // nothing has got in
  if (connection->lend) connection->lend(Error(code, "connect"));
}

void Inbound::Stop(Leftovers leftovers) {
  {
    const std::lock_guard lock(stop_mutex_);
    if (std::exchange(stopped_, true)) return;
  }
  std::promise<void> done;
  home_.Post([&] { Close(leftovers, [&done] { done.set_value(); }); });
  done.get_future().wait();
}

void Inbound::Close(Leftovers leftovers, std::function<void()> closed) {
  closed_ = true;
  for (const std::shared_ptr<Gate>& gate : gates_) {
    home_.Forget(gate->listener.get());
    gate->listener.Reset();
  }
  gates_.clear();
  parts_.published.clear();
  sockets_.Clear();
  std::vector<ConnectionId> waiting, going_on;
  for (const auto& [id, connection] : connections_) {
    if (connection->relay != nullptr && leftovers == Leftovers::kArrive) {
      going_on.push_back(id);
    } else if (connection->relay != nullptr) {
      connection->place.reactor->Post(
          [relay = connection->relay] { relay->Cut("ended with the cell"); });
    } else if (connection->lent) {
      if (const std::shared_ptr<Lease> lease = connection->lease.lock()) lease->Revoke();
    } else {
      waiting.push_back(id);
    }
  }
  for (const ConnectionId id : waiting) Fail(id, ECONNREFUSED, "the cell has ended");
  for (const ConnectionId id : going_on) LetGo(id);
  if (!HasOwn()) return closed();
  on_empty_ = std::move(closed);
}

// Those that another cell's relay carries end in its time: nobody waits for them.
bool Inbound::HasOwn() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& entry) { return !entry.second->lent; });
}

}  // namespace cellrun::net
