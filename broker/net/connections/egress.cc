// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/egress.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "broker/net/connections/egress_state.h"
#include "lib/base/log.h"
#include "lib/sys/internet.h"
#include "lib/sys/socket.h"
#include "lib/wire/gateway.h"

namespace cellrun::net {
namespace {

// A call that is held ignores signals (WAIT_KILLABLE_RECV): then it goes on, and the accepted
// connection waits instead.
constexpr std::chrono::seconds kHold{1};
// How long a connect that was let through may take to arrive.
constexpr std::chrono::seconds kArrival{10};
// How long a socket may have nothing under way before nothing is expected of it.
constexpr std::chrono::milliseconds kIdle{500};
constexpr std::chrono::milliseconds kSweep{250};
constexpr int kBacklog = 1024;
constexpr std::size_t kMaxIncoming = 64;  // more than ever wait for the reactor's thread

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

// TCP_CLOSE: neither connected nor under way. Nothing for a socket that is not known.
std::optional<int> StateOf(const UniqueFd& socket) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (!socket.valid() || getsockopt(socket.get(), IPPROTO_TCP, TCP_INFO, &info, &size) != 0)
    return std::nullopt;
  return info.tcpi_state;
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
                  .still_let_out =
                      [this](const Target& target, const std::optional<Dial::Judged>& dialled,
                             bool approved) { return IsStillLetOut(target, dialled, approved); },
                  .record_failure =
                      [this](const Origin& origin, const Target& target, const Outgoing* outgoing,
                             std::string result) {
                        RecordFailure(origin, target, outgoing, std::move(result));
                      },
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
  auto waiting = std::make_shared<Waiting>();
  waiting->attempt = std::move(attempt);
  waiting->reply = std::move(reply);
  if (ConnectAtOnce(waiting)) return;
  // What was posted before Close is answered by it at the latest.
  const std::lock_guard lock(mutex_);
  if (stopped_) return std::exchange(waiting->reply, nullptr)(ECONNREFUSED);
  home_.Post([self = shared_from_this(), waiting] { self->Begin(waiting); });
}

// A port of this machine's loopback that has been connected to before: nobody has to be woken
// before the call goes on. Whatever is not as simple as that, or fails, takes the long way, with
// what has been dialled: whoever listens there sees one connection for each.
bool Egress::ConnectAtOnce(const std::shared_ptr<Waiting>& waiting) {
  const Attempt& attempt = waiting->attempt;
  const Target& target = attempt.target;
  if (!attempt.blocking || target.verdict.action != policy::Action::kAllow ||
      target.destination.protocol != Protocol::kTcp || target.destination.host != "host" ||
      StateOf(attempt.socket).value_or(TCP_CLOSE) != TCP_CLOSE)
    return false;
  const auto passes = [&](const std::lock_guard<std::mutex>& /*held*/) {
    return !stopped_ && open_.contains(target.endpoint) && incoming_.size() < kMaxIncoming;
  };
  if (held_ >= kMaxConnections || parts_.engine.Full()) return false;
  if (const std::lock_guard lock(mutex_); !passes(lock)) return false;
  waiting->made = Dial::AtOnce(target.endpoint.port);
  if (!waiting->made) return false;
  Reply reply;
  {
    const std::lock_guard lock(mutex_);
    if (!passes(lock)) return false;
    reply = std::exchange(waiting->reply, nullptr);
    incoming_.push_back(waiting);
    if (!std::exchange(sweeping_, true)) {
      home_.Post([self = shared_from_this()] {
        if (self->sweep_ == 0 && !self->closed_) self->Sweep();
      });
    }
  }
  // Not under the lock: the program runs at once, in the place of this thread, and whoever accepts
  // its connection needs it.
  reply(0);
  Dial::PrepareAtOnce();
  return true;
}

void Egress::TakeIncoming(const std::lock_guard<std::mutex>& /*held*/) {
  for (std::shared_ptr<Waiting>& waiting : incoming_) {
    const auto gate = gates_.find(waiting->attempt.target.endpoint);
    if (gate != gates_.end()) gate->second->used = ++uses_;
    waiting_.push_back(std::move(waiting));
  }
  incoming_.clear();
}

void Egress::Refuse(const Attempt& attempt, const Reply& reply, int code, const char* why) {
  journal::Record record = RecordOf(parts_.cell, attempt.origin, attempt.target);
  record.verdict = policy::Action::kDeny;
  record.reason = why;
  record.result = "failed:" + ErrnoName(code);
  (void)parts_.journal.Append(std::move(record));  // nothing leaves either way
  reply(code);
}

void Egress::Begin(const std::shared_ptr<Waiting>& waiting) {
  const Attempt& attempt = waiting->attempt;
  const Reply reply = std::exchange(waiting->reply, nullptr);
  if (closed_) return reply(ECONNREFUSED);
  if (attempt.target.destination.protocol == Protocol::kUdp) return BeginDatagrams(attempt, reply);
  {
    const std::lock_guard lock(mutex_);
    TakeIncoming(lock);
  }
  // Connected already, or on its way: that is the kernel's answer (EISCONN, EALREADY), and no
  // connection comes of it. Should it have been dissolved by then, accept judges all the same.
  if (StateOf(attempt.socket).value_or(TCP_CLOSE) != TCP_CLOSE) return reply(0);
  if (waiting_.size() >= kMaxAttempts || connections_.size() >= kMaxConnections)
    return Refuse(attempt, reply, EAGAIN, "the cell has too many connections");
  if (parts_.engine.Full())
    return Refuse(attempt, reply, EAGAIN, "the broker has as many connections as it can hold");
  const Result<void> listening = Listen(attempt.target.endpoint);
  if (!listening.ok()) {
    log::Warn("no listener in a gateway", {{"error", listening.error().ToString()}});
    return Refuse(attempt, reply, EAGAIN, "the broker cannot listen for it");
  }
  const bool asks = attempt.target.verdict.action != policy::Action::kAllow;
  const bool dials = attempt.blocking && !asks && !waiting->made;
  if (dials) waiting->reply = reply;
  waiting->since = std::chrono::steady_clock::now();
  waiting_.push_back(waiting);
  if (sweep_ == 0) Sweep();
  if (dials) return StartDial(waiting);
  reply(0);
}

void Egress::BeginDatagrams(const Attempt& attempt, const Reply& reply) {
  const Result<void> opened = datagrams_.Open(attempt.target.endpoint, Datagrams::Stay::kWhileUsed);
  if (!opened.ok())
    return Refuse(attempt, reply, EAGAIN, "the broker cannot take datagrams for it");
  datagrams_.Expect(attempt.target.endpoint, attempt.origin);
  reply(0);
}

void Egress::OpenDatagrams(const std::vector<Endpoint>& endpoints, Datagrams::Stay stay) {
  std::promise<void> done;
  home_.Post([&] {
    for (const Endpoint& endpoint : endpoints) {
      if (closed_ || Judge(endpoint, Protocol::kUdp).verdict.action == policy::Action::kDeny)
        continue;
      const Result<void> opened = datagrams_.Open(endpoint, stay);
      // Of too many, a program asks as often as it likes.
      if (!opened.ok() && opened.error().code() != ENOSPC)
        log::Warn("no UDP in a gateway", {{"error", opened.error().ToString()}});
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
    RecordFailure(waiting->attempt.origin, waiting->attempt.target, waiting->outgoing.get(),
                  "failed:" + ErrnoName(code));
    return reply(code);
  }
  waiting->made.emplace(std::move(*made));
  reply(0);
}

// Those whose connection never came: the program was killed, the kernel found another address in
// its memory or another socket, or somebody refused.
void Egress::Sweep() {
  const std::lock_guard lock(mutex_);
  TakeIncoming(lock);
  const auto now = std::chrono::steady_clock::now();
  std::erase_if(waiting_, [&](const std::shared_ptr<Waiting>& waiting) {
    const auto waited = now - waiting->since;
    const bool idle = waited >= kIdle && StateOf(waiting->attempt.socket) == TCP_CLOSE;
    if (waiting->reply || (waited < kArrival && !idle)) return false;
    if (waiting->outgoing != nullptr) waiting->outgoing->Cancel();
    return true;
  });
  sweep_ = 0;
  sweeping_ = !waiting_.empty();
  if (!sweeping_) return;
  sweep_ = home_.After(kSweep, [weak = weak_from_this()] {
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
  // What is accepted inherits the next two.
  (void)setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
  (void)sys::SetCongestionControl(made, &wire::kCongestionControl[0]);
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
  const std::lock_guard lock(mutex_);
  open_.insert(endpoint);
  return {};
}

void Egress::DropOldestGate() {
  const auto waits = [this](const Endpoint& endpoint) {
    return std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& waiting) {
      return waiting->attempt.target.endpoint == endpoint;
    });
  };
  // None joins those that wait for a gate between the choice and its end.
  const std::lock_guard lock(mutex_);
  TakeIncoming(lock);
  auto oldest = gates_.end();
  for (auto gate = gates_.begin(); gate != gates_.end(); ++gate) {
    if (oldest != gates_.end() && gate->second->used >= oldest->second->used) continue;
    if (!waits(gate->first)) oldest = gate;
  }
  if (oldest != gates_.end()) CloseGate(Endpoint(oldest->first), lock);
}

void Egress::CloseGate(const Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  CloseGate(endpoint, lock);
}

void Egress::CloseGate(const Endpoint& endpoint, const std::lock_guard<std::mutex>& /*held*/) {
  open_.erase(endpoint);
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

void Egress::Stop(Leftovers leftovers) {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  std::promise<void> done;
  home_.Post([&] { Close(leftovers, [&done] { done.set_value(); }); });
  done.get_future().wait();
}

void Egress::Close(Leftovers leftovers, std::function<void()> closed) {
  closed_ = true;
  {
    const std::lock_guard lock(mutex_);
    TakeIncoming(lock);
  }
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
  for (const ConnectionId id : ids) {
    const bool relayed = connections_.at(id)->relay != nullptr;
    if (relayed && leftovers == Leftovers::kArrive) {
      LetGo(id);
    } else {
      Fail(id, 0, "ended with the cell");
    }
  }
  // Whoever drops the last reference to this, what these refer to belongs to the cell.
  parts_.ask = nullptr;
  parts_.resolve = nullptr;
  parts_.reach_cell = nullptr;
  parts_.proxy.reset();
  if (connections_.empty()) return closed();
  on_empty_ = std::move(closed);
}

}  // namespace cellrun::net
