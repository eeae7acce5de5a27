// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/egress.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <utility>

#include "broker/net/connections/egress_state.h"
#include "lib/base/log.h"
#include "lib/sys/socket.h"
#include "lib/wire/gateway.h"

namespace cellrun::net {
namespace {

// A call that is held ignores signals (WAIT_KILLABLE_RECV): then it goes on, and the accepted
// connection waits instead.
constexpr std::chrono::seconds kHold{1};
// How long a connect that was let through may take to arrive.
constexpr std::chrono::seconds kArrival{10};
constexpr int kBacklog = 1024;

// What went wrong on our side is not the destination's fault.
int HonestErrno(int code) {
  switch (code) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOBUFS:
    case ECANCELED:
      return EAGAIN;
    default:
      return code;
  }
}

}  // namespace

std::shared_ptr<Egress> Egress::Make(Parts parts) {
  return std::shared_ptr<Egress>(new Egress(std::move(parts)));
}

Egress::Egress(Parts parts)
    : parts_(std::move(parts)),
      home_(parts_.engine.Next()),
      datagrams_({.reactor = home_,
                  .stock = *parts_.stock,
                  .cell = parts_.cell,
                  .journal = parts_.journal,
                  .judge = [this](const Endpoint& to) { return Judge(to, Protocol::kUdp); },
                  .way_out = [this](const Target& target) { return MakeOutgoing(target); },
                  .ask = parts_.ask}) {}

Egress::~Egress() = default;

Target Egress::Judge(const Endpoint& endpoint, Protocol protocol) const {
  Target target{.endpoint = endpoint,
                .destination = {.host = FormatAddress(endpoint.address),
                                .port = endpoint.port,
                                .protocol = protocol},
                .verdict = {}};
  if (target.destination.host == &wire::kHostAddress[0]) {
    target.destination.host = "host";
  } else if (const std::optional<std::string> name = parts_.names->NameOf(endpoint.address)) {
    target.destination.host = HostOfName(*name).value_or("");
  }
  target.verdict = parts_.judge->Decide(target.destination);
  return target;
}

void Egress::Connect(Attempt attempt, Reply reply) {
  // What was posted before Close is answered by it at the latest.
  const std::lock_guard lock(stop_mutex_);
  if (stopped_) return reply(ECONNREFUSED);
  home_.Post(
      [self = shared_from_this(), held = std::make_shared<Attempt>(std::move(attempt)),
       reply = std::move(reply)]() mutable { self->Begin(std::move(*held), std::move(reply)); });
}

void Egress::Refuse(const Attempt& attempt, const Reply& reply, int code, const char* why) {
  journal::Record record = RecordOf(parts_.cell, attempt.origin, attempt.target);
  record.verdict = policy::Action::kDeny;
  record.reason = why;
  record.result = "failed:" + ErrnoName(code);
  (void)parts_.journal.Append(std::move(record));  // nothing leaves either way
  reply(code);
}

void Egress::Begin(Attempt attempt, Reply reply) {
  if (closed_) return reply(ECONNREFUSED);
  if (attempt.target.destination.protocol == Protocol::kUdp) return BeginDatagrams(attempt, reply);
  if (waiting_.size() >= kMaxAttempts || connections_.size() >= kMaxConnections)
    return Refuse(attempt, reply, EAGAIN, "the cell has too many connections");
  if (parts_.engine.Full())
    return Refuse(attempt, reply, EAGAIN, "the broker has as many connections as it can hold");
  const Result<void> listening = Listen(attempt.target.endpoint);
  if (!listening.ok()) {
    log::Warn("no listener in a gateway", {{"error", listening.error().ToString()}});
    return Refuse(attempt, reply, EAGAIN, "the broker cannot listen for it");
  }
  auto waiting = std::make_shared<Waiting>();
  waiting->attempt = std::move(attempt);
  waiting->reply = std::move(reply);
  waiting_.push_back(waiting);
  if (sweep_ == 0) Sweep();
  const bool asks = waiting->attempt.target.verdict.action != policy::Action::kAllow;
  if (waiting->attempt.blocking && !asks) return StartDial(waiting);
  std::exchange(waiting->reply, nullptr)(0);
}

void Egress::BeginDatagrams(const Attempt& attempt, const Reply& reply) {
  const Result<void> opened = datagrams_.Open(attempt.target.endpoint);
  if (!opened.ok())
    return Refuse(attempt, reply, EAGAIN, "the broker cannot take datagrams for it");
  datagrams_.Expect(attempt.target.endpoint, attempt.origin);
  reply(0);
}

void Egress::OpenDatagrams(const std::vector<Endpoint>& endpoints) {
  std::promise<void> done;
  home_.Post([&] {
    for (const Endpoint& endpoint : endpoints) {
      if (closed_ || Judge(endpoint, Protocol::kUdp).verdict.action == policy::Action::kDeny)
        continue;
      const Result<void> opened = datagrams_.Open(endpoint);
      if (!opened.ok()) log::Warn("no UDP in a gateway", {{"error", opened.error().ToString()}});
    }
    done.set_value();
  });
  done.get_future().wait();
}

std::shared_ptr<Outgoing> Egress::MakeOutgoing(const Target& target) {
  return Outgoing::Make({.reactor = home_,
                         .judge = parts_.judge,
                         .resolve = parts_.resolve,
                         .reach_cell = parts_.reach_cell,
                         .who = parts_.cell.name,
                         .proxy = parts_.proxy},
                        target);
}

void Egress::StartDial(const std::shared_ptr<Waiting>& waiting) {
  waiting->outgoing = MakeOutgoing(waiting->attempt.target);
  waiting->hold = home_.After(kHold, [waiting] {
    waiting->hold = 0;
    if (waiting->reply) std::exchange(waiting->reply, nullptr)(0);
  });
  waiting->outgoing->WhenOver([weak = weak_from_this(), watched = std::weak_ptr(waiting)] {
    const auto self = weak.lock();
    const auto over = watched.lock();
    if (self && over) self->OnDialled(over);
  });
  waiting->outgoing->Start();
}

void Egress::OnDialled(const std::shared_ptr<Waiting>& waiting) {
  if (waiting->hold != 0) home_.Cancel(std::exchange(waiting->hold, 0));
  if (!waiting->reply) return;  // it went on, and whoever accepts it looks
  const Reply reply = std::exchange(waiting->reply, nullptr);
  Result<Dial::Made> made = waiting->outgoing->Take();
  if (!made.ok()) {
    std::erase(waiting_, waiting);
    const int code = HonestErrno(made.error().code());
    journal::Record record =
        RecordOf(parts_.cell, waiting->attempt.origin, waiting->attempt.target);
    record.result = "failed:" + ErrnoName(code);
    (void)parts_.journal.Append(std::move(record));  // nothing has left
    return reply(code);
  }
  waiting->made.emplace(std::move(*made));
  reply(0);
}

// Those whose connection never came: the program was killed, or had an address already.
void Egress::Sweep() {
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(waiting_, [&](const std::shared_ptr<Waiting>& waiting) {
    if (waiting->reply || now - waiting->since < kArrival) return false;
    if (waiting->outgoing != nullptr) waiting->outgoing->Cancel();
    return true;
  });
  sweep_ = 0;
  if (waiting_.empty()) return;
  sweep_ = home_.After(kArrival / 4, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->Sweep();
  });
}

// ---- Gates.

Result<void> Egress::Listen(const Endpoint& endpoint) {
  const auto known = gates_.find(endpoint);
  if (known != gates_.end()) {
    known->second->used = ++uses_;
    return {};
  }
  const bool six = endpoint.address.ipv6;
  UniqueFd made =
      TRY(parts_.stock->Take(six ? SocketStock::Kind::kTcp6 : SocketStock::Kind::kTcp4));
  constexpr int kOn = 1;
  // Connections of an earlier listener on it may still be there.
  (void)setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &kOn, sizeof kOn);
  if (six) {
    (void)setsockopt(made.get(), IPPROTO_IPV6, IPV6_V6ONLY, &kOn, sizeof kOn);
    if (setsockopt(made.get(), IPPROTO_IPV6, IPV6_FREEBIND, &kOn, sizeof kOn) != 0)
      return ErrnoError("setsockopt(IPV6_FREEBIND)");
  }
  const SocketAddress address = SocketAddressOf(endpoint);
  if (bind(made.get(), address.get(), address.size) != 0) return ErrnoError("bind");
  TRY(sys::Listen(made, kBacklog));
  if (gates_.size() >= kMaxListeners) DropOldestGate();
  auto gate = std::make_shared<Gate>(*this, std::move(made));
  gate->used = ++uses_;
  TRY(home_.Watch(gate->socket.get(), EPOLLIN, gate));
  gates_[endpoint] = std::move(gate);
  return {};
}

void Egress::DropOldestGate() {
  const auto waits = [this](const Endpoint& endpoint) {
    return std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& waiting) {
      return waiting->attempt.target.endpoint == endpoint;
    });
  };
  auto oldest = gates_.end();
  for (auto gate = gates_.begin(); gate != gates_.end(); ++gate) {
    if (oldest != gates_.end() && gate->second->used >= oldest->second->used) continue;
    if (!waits(gate->first)) oldest = gate;
  }
  if (oldest != gates_.end()) CloseGate(Endpoint(oldest->first));
}

void Egress::CloseGate(const Endpoint& endpoint) {
  const auto gate = gates_.find(endpoint);
  if (gate == gates_.end()) return;
  home_.Forget(gate->second->socket.get());
  gate->second->socket.Reset();
  gates_.erase(gate);
}

// ---- The end.

void Egress::Rejudge() {
  home_.Post([self = shared_from_this()] { self->CutDenied(); });
}

void Egress::Stop() {
  {
    const std::lock_guard lock(stop_mutex_);
    stopped_ = true;
  }
  std::promise<void> done;
  home_.Post([&] { Close([&done] { done.set_value(); }); });
  done.get_future().wait();
}

void Egress::Close(std::function<void()> closed) {
  closed_ = true;
  if (sweep_ != 0) home_.Cancel(sweep_);
  for (const std::shared_ptr<Waiting>& waiting : std::exchange(waiting_, {})) {
    if (waiting->hold != 0) home_.Cancel(waiting->hold);
    if (waiting->outgoing != nullptr) waiting->outgoing->Cancel();
    if (waiting->reply) std::exchange(waiting->reply, nullptr)(ECONNREFUSED);
  }
  datagrams_.Close();
  while (!gates_.empty()) CloseGate(Endpoint(gates_.begin()->first));
  std::vector<ConnectionId> ids;
  for (const auto& [id, connection] : connections_) ids.push_back(id);
  for (const ConnectionId id : ids) Fail(id, 0, "ended with the cell");
  if (connections_.empty()) return closed();
  on_empty_ = std::move(closed);
}

}  // namespace cellrun::net
