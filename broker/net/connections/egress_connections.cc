// SPDX-License-Identifier: Apache-2.0
// From the accepted socket to the last byte.
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <utility>

#include "broker/net/connections/egress.h"
#include "broker/net/connections/egress_state.h"
#include "lib/sys/socket.h"

namespace cellrun::net {
namespace {

using NameCall = int (*)(int, sockaddr*, socklen_t*);
std::optional<Endpoint> NameOf(NameCall call, const UniqueFd& socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (call(socket.get(), reinterpret_cast<sockaddr*>(&storage), &size) != 0) return std::nullopt;
  return EndpointOf({reinterpret_cast<const char*>(&storage), size});
}

// The program gave up while somebody was asked: a reset, or an end without a byte before it. One
// that has sent something and then its end may well wait for an answer.
class Departure : public Source {
 public:
  Departure(Reactor& reactor, std::function<void()> left)
      : reactor_(reactor), left_(std::move(left)) {}
  void OnReady(int fd, std::uint32_t events) override {
    char byte = 0;
    const bool sent = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
    if ((events & (EPOLLHUP | EPOLLERR)) != 0 || !sent) return left_();
    reactor_.Change(fd, 0);  // only what ends it altogether is reported now
  }

 private:
  Reactor& reactor_;
  const std::function<void()> left_;
};

}  // namespace

// One at a time: mostly there is no other, and those that have come before are due.
void Egress::OnAccept(int listener) {
  UniqueFd accepted(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (accepted.valid()) return Admit(std::move(accepted), 0);
  if (errno != EMFILE && errno != ENFILE && errno != ENOMEM) return;
  if (!RefuseOne(listener, errno)) PauseGate(listener);
}

// No descriptors: who has connected is told so by a reset. False: there was nobody, or not even the
// descriptor that this takes.
bool Egress::RefuseOne(int listener, int why) {
  bool refused = false;
  (void)home_.WithSpare([&] {
    UniqueFd accepted(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    refused = accepted.valid();
    if (refused) Admit(std::move(accepted), why);
  });
  return refused;
}

// Who connects waits in the backlog.
void Egress::PauseGate(int listener) {
  constexpr std::chrono::milliseconds kPause{50};
  home_.Change(listener, 0);
  home_.After(kPause, [weak = weak_from_this(), listener] {
    const auto self = weak.lock();
    if (!self) return;
    const bool there = std::any_of(self->gates_.begin(), self->gates_.end(), [&](const auto& gate) {
      return gate.second->socket.get() == listener;
    });
    if (there) self->home_.Change(listener, EPOLLIN);
  });
}

// Whose it is: the one whose socket has the address that it comes from.
std::shared_ptr<Egress::Waiting> Egress::Match(const Endpoint& to, const Endpoint& peer) {
  {
    const std::lock_guard lock(mutex_);
    TakeIncoming(lock);
  }
  const auto matches = [&](const std::shared_ptr<Waiting>& waiting, bool known) {
    const Attempt& attempt = waiting->attempt;
    if (attempt.target.endpoint != to || attempt.socket.valid() != known) return false;
    return !known || NameOf(getsockname, attempt.socket) == peer;
  };
  for (const bool known : {true, false}) {
    const auto found = std::find_if(waiting_.begin(), waiting_.end(),
                                    [&](const auto& waiting) { return matches(waiting, known); });
    if (found == waiting_.end()) continue;
    std::shared_ptr<Waiting> waiting = *found;
    waiting_.erase(found);
    return waiting;
  }
  return nullptr;
}

// The verdict is bound here: what the kernel connected to is what is judged, whatever was read from
// the program's memory before. `obstacle`: 0, or why it cannot go on whatever the verdict.
void Egress::Admit(UniqueFd accepted, int obstacle) {
  const std::optional<Endpoint> to = NameOf(getsockname, accepted);
  const std::optional<Endpoint> peer = NameOf(getpeername, accepted);
  if (!to || !peer) return ResetOnClose(accepted);
  const std::shared_ptr<Waiting> waiting = Match(*to, *peer);
  Target target = Judge(*to, Protocol::kTcp);
  auto made =
      std::make_unique<Connection>(++last_connection_, std::move(accepted),
                                   waiting ? waiting->attempt.origin : Origin{}, std::move(target));
  Connection& connection = *made;
  connections_[connection.id] = std::move(made);
  held_ = connections_.size();
  if (waiting && waiting->hold != 0) home_.Cancel(std::exchange(waiting->hold, 0));
  if (waiting && waiting->reply) std::exchange(waiting->reply, nullptr)(0);
  if (waiting) waiting->attempt.socket.Reset();
  if (obstacle != 0) {
    if (waiting && waiting->outgoing) waiting->outgoing->Cancel();
    return Fail(connection.id, obstacle, nullptr);
  }
  const policy::Action action = connection.target.verdict.action;
  const bool full = connections_.size() > kMaxConnections;
  if (action == policy::Action::kDeny || full) {
    if (waiting && waiting->outgoing) waiting->outgoing->Cancel();
    return Fail(connection.id, EACCES, "denied");
  }
  if (action == policy::Action::kAsk) {
    if (waiting && waiting->outgoing) waiting->outgoing->Cancel();
    return AskPerson(connection);
  }
  if (waiting && waiting->made) {
    connection.seq = 0;
    return StartRelay(connection, std::move(*waiting->made));
  }
  if (waiting && waiting->outgoing) {
    connection.outgoing = waiting->outgoing;
    return Join(connection.id);
  }
  Proceed(connection.id);
}

void Egress::AskPerson(Connection& connection) {
  if (parts_.ask == nullptr) return Fail(connection.id, EACCES, "denied");
  const ConnectionId id = connection.id;
  connection.watch = std::make_shared<Departure>(home_, [this, id] { Fail(id, 0, "withdrawn"); });
  const Result<void> watched = home_.Watch(connection.cell.get(), EPOLLRDHUP, connection.watch);
  if (!watched.ok()) connection.watch.reset();
  connection.withdraw = parts_.ask(
      connection.origin, connection.target,
      [weak = weak_from_this(), &home = home_, id](bool approved, const std::string& /*why*/) {
        home.Post([weak, id, approved] {
          const auto self = weak.lock();
          if (!self || self->closed_) return;
          const auto found = self->connections_.find(id);
          if (found == self->connections_.end()) return;
          found->second->withdraw = nullptr;
          if (!approved) return self->Fail(id, EACCES, "denied");
          found->second->approved = true;
          self->Proceed(id);
        });
      });
}

void Egress::Proceed(ConnectionId id) {
  Connection& connection = *connections_.at(id);
  if (std::exchange(connection.watch, nullptr)) home_.Forget(connection.cell.get());
  connection.outgoing = MakeOutgoing(connection.target);
  connection.outgoing->Start();
  Join(id);
}

void Egress::Join(ConnectionId id) {
  connections_.at(id)->outgoing->WhenOver([weak = weak_from_this(), id] {
    const auto self = weak.lock();
    if (!self) return;
    const auto found = self->connections_.find(id);
    if (found == self->connections_.end()) return;
    Result<Dial::Made> made = found->second->outgoing->Take();
    if (!made.ok()) return self->Fail(id, made.error().code(), nullptr);
    found->second->outgoing.reset();
    self->StartRelay(*found->second, std::move(*made));
  });
}

// Recorded before the first byte can leave.
void Egress::StartRelay(Connection& connection, Dial::Made made) {
  const ConnectionId id = connection.id;
  connection.dialled = made.judged;
  // The policy may have changed since the address was judged.
  if (!IsStillLetOut(connection.target, connection.dialled, connection.approved))
    return Fail(id, EACCES, "cut");
  journal::Record record = RecordOf(parts_.cell, connection.origin, connection.target);
  if (connection.approved) record.verdict = policy::Action::kAllow;
  record.result = "connected";
  nlohmann::json dialled = ResolverMember(made.resolver);
  dialled["dialled"] = FormatAddress(made.to.address);
  if (made.by_proxy) dialled["proxy"] = true;
  record.detail = DetailOf(parts_.cell, std::move(dialled));
  connection.seq = connection.target.verdict.audit ? parts_.journal.Append(std::move(record)) : 0;
  if (connection.target.verdict.audit && connection.seq == 0)
    return Fail(id, EIO, "the journal cannot keep it");
  connection.place = parts_.engine.Enter(home_);
  connection.placed = true;
  Reactor& reactor = *connection.place.reactor;
  connection.relay = Relay::Make(
      reactor, std::move(connection.cell), std::move(made.socket),
      [self = shared_from_this(), id](const Traffic& traffic, const char* how) {
        self->home_.Post([self, id, traffic, how] { self->OnRelayed(id, traffic, how); });
      });
  connection.lease = std::move(made.lease);
  if (connection.lease != nullptr) {
    connection.lease->WhenRevoked([&reactor, relay = connection.relay] {
      reactor.Post([relay] { relay->Cut("the other cell has ended"); });
    });
  }
  const auto start = [relay = connection.relay] {
    if (!relay->Start().ok()) relay->Cut("no descriptors");
  };
  if (&reactor == &home_) return start();
  reactor.Post(start);
}

void Egress::OnRelayed(ConnectionId id, const Traffic& traffic, const char* how) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const std::unique_ptr<Connection> connection = std::move(found->second);
  connections_.erase(found);
  held_ = connections_.size();
  parts_.engine.Leave(connection->place);
  if (connection->lease != nullptr) connection->lease->End(traffic, how);
  RecordEnd(*connection, parts_.cell, parts_.journal, traffic, how);
  if (connections_.empty() && on_empty_) std::exchange(on_empty_, nullptr)();
}

// It needs nothing any more of what goes with the cell.
void Egress::LetGo(ConnectionId id) {
  const std::shared_ptr<Connection> connection = std::move(connections_.at(id));
  connections_.erase(id);
  held_ = connections_.size();
  const std::shared_ptr<Relay> relay = std::move(connection->relay);
  const auto over = [connection, cell = parts_.cell, &journal = parts_.journal,
                     &engine = parts_.engine](const Traffic& traffic, const char* how) {
    engine.Leave(connection->place);
    if (connection->lease != nullptr) connection->lease->End(traffic, how);
    RecordEnd(*connection, cell, journal, traffic, how);
  };
  // The relay's own word that it has ended, should it be under way, finds no connection.
  connection->place.reactor->Post([relay, over] { relay->Finish(kLeftoversArrive, over); });
}

void Egress::RecordEnd(const Connection& connection, const CellIdentity& cell,
                       journal::Sink& journal, const Traffic& traffic, const char* how) {
  if (!connection.target.verdict.audit) return;
  const auto lasted = std::chrono::steady_clock::now() - connection.since;
  journal::Record record = RecordOf(cell, connection.origin, connection.target);
  if (connection.approved) record.verdict = policy::Action::kAllow;
  record.result = how;
  record.bytes_in = traffic.in;
  record.bytes_out = traffic.out;
  record.detail = DetailOf(
      cell,
      {{"connection", connection.seq},
       {"duration_ms", std::chrono::duration_cast<std::chrono::milliseconds>(lasted).count()}});
  (void)journal.Append(std::move(record));  // it is over either way
}

// One that has not come as far as a relay, or must not go on. `code`: what the way out failed with.
void Egress::Fail(ConnectionId id, int code, const char* result) {
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  Connection& connection = *found->second;
  if (connection.relay != nullptr) {  // its end is told and recorded by itself
    connection.place.reactor->Post([relay = connection.relay, result] { relay->Cut(result); });
    return;
  }
  if (connection.watch != nullptr) home_.Forget(connection.cell.get());
  if (connection.withdraw) connection.withdraw();
  if (connection.outgoing != nullptr) connection.outgoing->Cancel();
  ResetOnClose(connection.cell);
  RecordFailure(connection.origin, connection.target, connection.outgoing.get(),
                result != nullptr ? result : "failed:" + ErrnoName(code));
  connections_.erase(found);
  held_ = connections_.size();
}

// Nothing has left. What the policy or a person has denied, programs read of.
void Egress::RecordFailure(const Origin& origin, const Target& target, const Outgoing* outgoing,
                           std::string result) const {
  journal::Record record = RecordOf(parts_.cell, origin, target);
  record.result = std::move(result);
  if (outgoing != nullptr)
    record.detail = DetailOf(parts_.cell, ResolverMember(outgoing->resolver()));
  if (outgoing != nullptr && outgoing->refused()) {
    const auto& [address, verdict] = *outgoing->refused();
    record.result = "denied";
    record.rule = verdict.rule;
    record.reason = RefusalOf(parts_.cell, verdict,
                              {.host = FormatAddress(address),
                               .port = target.destination.port,
                               .protocol = target.destination.protocol});
  }
  const bool denied = record.result == "denied";
  if (denied) record.verdict = policy::Action::kDeny;
  const std::uint64_t seq = parts_.journal.Append(record);
  if (denied && parts_.tell) parts_.tell(record, seq);
}

// By where the program wanted to go, and by the address that this led to. `approved`: what a rule
// asks about, a person has let out.
bool Egress::IsStillLetOut(const Target& target, const std::optional<Dial::Judged>& dialled,
                           bool approved) const {
  const auto passes = [approved](const Verdict& verdict) {
    return verdict.action == policy::Action::kAllow ||
           (verdict.action == policy::Action::kAsk && approved);
  };
  return passes(parts_.judge->Decide(target.destination)) &&
         (!dialled ||
          passes(parts_.judge->MayDial(target.destination, dialled->address, dialled->own)));
}

void Egress::CutDenied() {
  datagrams_.Rejudge();
  std::vector<ConnectionId> cut;
  for (const auto& [id, connection] : connections_) {
    const bool asked = connection->approved || connection->withdraw;
    if (!IsStillLetOut(connection->target, connection->dialled, asked)) cut.push_back(id);
  }
  for (const ConnectionId id : cut) Fail(id, EACCES, "cut");
  std::vector<Endpoint> closed;
  for (const auto& [endpoint, gate] : gates_) {
    if (Judge(endpoint, Protocol::kTcp).verdict.action == policy::Action::kDeny)
      closed.push_back(endpoint);
  }
  for (const Endpoint& endpoint : closed) CloseGate(endpoint);
}

}  // namespace cellrun::net
