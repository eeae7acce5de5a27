// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/datagrams.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lib/sys/internet.h"
#include "lib/sys/process.h"

namespace cellrun::net {
namespace {

constexpr std::size_t kDatagramBytes = 64UL * 1024;
constexpr int kDatagramsATurn = 64;

}  // namespace

class Datagrams::Gate : public Source {
 public:
  Gate(Datagrams& owner, UniqueFd made, const Endpoint& where)
      : socket(std::move(made)), endpoint(where), owner_(owner) {}
  void OnReady(int /*fd*/, std::uint32_t /*events*/) override { owner_.Take(*this); }
  UniqueFd socket;
  const Endpoint endpoint;
  bool lasting = false;
  std::uint64_t used = 0;

 private:
  Datagrams& owner_;
};

class Datagrams::Flow : public Source {
 public:
  Flow(Target to, Origin from, std::shared_ptr<Gate> through, const Endpoint& cell)
      : target(std::move(to)), origin(std::move(from)), gate(std::move(through)), peer(cell) {}

  // What comes back, to the cell.
  void OnReady(int /*fd*/, std::uint32_t /*events*/) override {
    std::vector<char> buffer(kDatagramBytes);
    const SocketAddress to = SocketAddressOf(peer);
    for (int i = 0; i < kDatagramsATurn; ++i) {
      const ssize_t got = recv(outside.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (got < 0) return;  // ECONNREFUSED and the like: datagrams may be lost
      used = sys::MonotonicNow();
      in += static_cast<std::uint64_t>(got);
      (void)sys::SendDatagram(gate->socket, {buffer.data(), static_cast<std::size_t>(got)},
                              to.get(), to.size);
    }
  }
  // false: there is no room for it.
  bool Send(std::string_view bytes) {
    used = sys::MonotonicNow();
    if (!outside.valid()) {
      const bool room = waiting.size() < kMaxWaiting;
      if (room) waiting.emplace_back(bytes);
      return room;
    }
    out += bytes.size();
    (void)send(outside.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    return true;
  }

  const Target target;
  const Origin origin;
  const std::shared_ptr<Gate> gate;
  const Endpoint peer;
  UniqueFd outside;
  std::optional<Dial::Judged> dialled;  // where rules about addresses count as well
  std::shared_ptr<Outgoing> way_out;
  std::function<void()> withdraw;
  std::vector<std::string> waiting;
  bool denied = false;  // what comes is dropped
  bool approved = false;
  std::uint64_t in = 0, out = 0, seq = 0;
  std::chrono::nanoseconds used = sys::MonotonicNow();
  const std::chrono::nanoseconds since = sys::MonotonicNow();
};

Datagrams::Datagrams(Parts parts) : parts_(std::move(parts)) {}

Datagrams::~Datagrams() = default;

Result<void> Datagrams::Open(const Endpoint& endpoint, Stay stay) {
  if (const auto known = gates_.find(endpoint); known != gates_.end()) {
    known->second->used = ++uses_;
    known->second->lasting |= stay == Stay::kLasting;
    return {};
  }
  if (gates_.size() >= kMaxGates && !(room_.Take(TokenBucket::Clock::now()) && DropOldestGate()))
    return Error(ENOSPC, "", "too many UDP destinations");
  const bool six = endpoint.address.ipv6;
  UniqueFd made = TRY(parts_.stock.Take(six ? SocketStock::Kind::kUdp6 : SocketStock::Kind::kUdp4));
  if (six) {
    TRY(sys::SetOption(made, IPPROTO_IPV6, IPV6_V6ONLY, 1));
    TRY(sys::SetOption(made, IPPROTO_IPV6, IPV6_FREEBIND, 1));
  }
  const SocketAddress address = SocketAddressOf(endpoint);
  TRY(sys::BindInternet(made, address.get(), address.size));
  auto gate = std::make_shared<Gate>(*this, std::move(made), endpoint);
  gate->lasting = stay == Stay::kLasting;
  gate->used = ++uses_;
  TRY(parts_.reactor.Watch(gate->socket.get(), EPOLLIN, gate));
  gates_[endpoint] = std::move(gate);
  return {};
}

// One that nothing goes through, if there is any.
bool Datagrams::DropOldestGate() {
  std::set<Endpoint> busy;
  for (const auto& [key, flow] : flows_) busy.insert(key.second);
  auto oldest = gates_.end();
  const auto rank = [&](const auto& gate) {
    return std::pair(busy.contains(gate->first), gate->second->used);
  };
  for (auto gate = gates_.begin(); gate != gates_.end(); ++gate) {
    if (gate->second->lasting) continue;
    if (oldest == gates_.end() || rank(gate) < rank(oldest)) oldest = gate;
  }
  if (oldest == gates_.end()) return false;
  std::vector<FlowKey> through;
  for (const auto& [key, flow] : flows_) {
    if (key.second == oldest->first) through.push_back(key);
  }
  for (const FlowKey& key : through) EndFlow(key, "closed");
  parts_.reactor.Forget(oldest->second->socket.get());
  gates_.erase(oldest);
  return true;
}

// A program that takes a socket for each question leaves a flow behind with each.
bool Datagrams::DropOldestFlow() {
  const auto oldest = std::min_element(
      flows_.begin(), flows_.end(),
      [](const auto& one, const auto& other) { return one.second->used < other.second->used; });
  if (oldest == flows_.end() || sys::MonotonicNow() - oldest->second->used < kBusy) return false;
  EndFlow(FlowKey(oldest->first), "closed");
  return true;
}

void Datagrams::RecordDropped() {
  if (dropped_ == 0) return;
  journal::Record record = journal::RecordNow(journal::Kind::kConnect, parts_.cell.id, 0,
                                              parts_.cell.inside_uid, parts_.cell.user);
  record.proto = ProtocolName(Protocol::kUdp);
  record.verdict = policy::Action::kDeny;
  record.result = "denied";
  record.count = std::exchange(dropped_, 0);
  record.reason = std::to_string(record.count) +
                  " datagrams were dropped: more flows at once than a cell may have, or more that "
                  "wait for their way out";
  record.detail = DetailOf(parts_.cell, nlohmann::json::object());
  (void)parts_.journal.Append(std::move(record));  // they are gone either way
}

void Datagrams::Expect(const Endpoint& endpoint, Origin origin) {
  expected_[endpoint] = std::move(origin);
  if (expected_.size() > kMaxGates) expected_.clear();
}

void Datagrams::Take(Gate& gate) {
  std::vector<char> buffer(kDatagramBytes);
  for (int i = 0; i < kDatagramsATurn; ++i) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    const ssize_t got = recvfrom(gate.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT,
                                 reinterpret_cast<sockaddr*>(&from), &size);
    if (got < 0) return;
    const auto peer = EndpointOf({reinterpret_cast<const char*>(&from), size});
    if (!peer) continue;
    const FlowKey key{*peer, gate.endpoint};
    const auto known = flows_.find(key);
    Flow* flow = known != flows_.end() ? known->second.get() : NewFlow(gate, key);
    gate.used = ++uses_;
    if (flow != nullptr && flow->denied) continue;
    if (flow == nullptr || !flow->Send({buffer.data(), static_cast<std::size_t>(got)})) ++dropped_;
  }
}

// The verdict is about where the datagram has come to, whatever was judged before.
Datagrams::Flow* Datagrams::NewFlow(Gate& gate, const FlowKey& key) {
  if (flows_.size() >= kMaxFlows && !DropOldestFlow()) return nullptr;
  Origin origin;
  if (auto expected = expected_.extract(gate.endpoint)) origin = std::move(expected.mapped());
  auto made = std::make_shared<Flow>(parts_.judge(gate.endpoint), std::move(origin),
                                     gates_.at(gate.endpoint), key.first);
  Flow& flow = *made;
  flows_[key] = std::move(made);
  if (sweep_ == 0) Sweep();
  StartFlow(flow);
  return flows_.contains(key) ? &flow : nullptr;
}

void Datagrams::StartFlow(Flow& flow) {
  const FlowKey key{flow.peer, flow.target.endpoint};
  const policy::Action action = flow.target.verdict.action;
  if (action == policy::Action::kAllow) return Connect(key);
  if (action == policy::Action::kDeny || parts_.ask == nullptr) {
    flow.denied = true;
    return parts_.record_failure(flow.origin, flow.target, nullptr, "denied");
  }
  flow.withdraw =
      parts_.ask(flow.origin, flow.target,
                 [this, &reactor = parts_.reactor, alive = std::weak_ptr(alive_), key](
                     bool approved, const std::string& /*why*/) {
                   reactor.Post([this, alive, key, approved] {
                     if (alive.expired()) return;
                     const auto found = flows_.find(key);
                     if (found == flows_.end()) return;
                     Flow& answered = *found->second;
                     answered.withdraw = nullptr;
                     answered.approved = approved;
                     answered.denied = !approved;
                     if (approved) return Connect(key);
                     answered.waiting.clear();
                     parts_.record_failure(answered.origin, answered.target, nullptr, "denied");
                   });
                 });
}

void Datagrams::Connect(const FlowKey& key) {
  Flow& flow = *flows_.at(key);
  flow.way_out = parts_.way_out(flow.target);
  flow.way_out->Start();
  flow.way_out->WhenOver([this, alive = std::weak_ptr(alive_), key] {
    if (alive.expired()) return;
    const auto found = flows_.find(key);
    if (found == flows_.end()) return;
    const std::shared_ptr<Flow> opened = found->second;
    Result<Dial::Made> made = opened->way_out->Take();
    if (made.ok()) opened->dialled = made->judged;
    // The policy may have changed since the address was judged.
    const bool cut =
        made.ok() && !parts_.still_let_out(opened->target, opened->dialled, opened->approved);
    if (!made.ok() || cut) {
      opened->denied = true;
      return parts_.record_failure(opened->origin, opened->target, opened->way_out.get(),
                                   cut ? "cut" : "failed:" + ErrnoName(made.error().code()));
    }
    journal::Record record = RecordOf(parts_.cell, opened->origin, opened->target);
    if (opened->approved) record.verdict = policy::Action::kAllow;
    record.result = "connected";
    nlohmann::json way = ResolverMember(opened->way_out->resolver());
    way["dialled"] = FormatAddress(made->to.address);
    record.detail = DetailOf(parts_.cell, way);
    const bool kept = opened->target.verdict.audit;
    opened->seq = kept ? parts_.journal.Append(std::move(record)) : 1;
    if (opened->seq == 0) {
      opened->denied = true;
      return;
    }
    opened->outside = std::move(made->socket);
    if (!parts_.reactor.Watch(opened->outside.get(), EPOLLIN, opened).ok()) {
      opened->outside.Reset();
      opened->denied = true;
      return;
    }
    for (const std::string& bytes : std::exchange(opened->waiting, {})) opened->Send(bytes);
  });
}

void Datagrams::EndFlow(const FlowKey& key, const char* how) {
  const auto found = flows_.find(key);
  if (found == flows_.end()) return;
  const std::shared_ptr<Flow> flow = found->second;
  flows_.erase(found);
  if (flow->withdraw) flow->withdraw();
  if (flow->way_out != nullptr) flow->way_out->Cancel();
  if (!flow->outside.valid()) return;
  parts_.reactor.Forget(flow->outside.get());
  flow->outside.Reset();
  if (!flow->target.verdict.audit) return;
  journal::Record record = RecordOf(parts_.cell, flow->origin, flow->target);
  if (flow->approved) record.verdict = policy::Action::kAllow;
  record.result = how;
  record.bytes_in = flow->in;
  record.bytes_out = flow->out;
  const auto lasted =
      std::chrono::duration_cast<std::chrono::milliseconds>(sys::MonotonicNow() - flow->since);
  record.detail =
      DetailOf(parts_.cell, {{"connection", flow->seq}, {"duration_ms", lasted.count()}});
  (void)parts_.journal.Append(std::move(record));  // it is over either way
}

void Datagrams::Sweep() {
  std::vector<FlowKey> idle;
  for (const auto& [key, flow] : flows_) {
    if (sys::MonotonicNow() - flow->used > kIdle) idle.push_back(key);
  }
  for (const FlowKey& key : idle) EndFlow(key, "closed");
  RecordDropped();
  sweep_ = 0;
  if (!flows_.empty()) sweep_ = parts_.reactor.After(kIdle / 4, [this] { Sweep(); });
}

void Datagrams::Rejudge() {
  std::vector<FlowKey> cut;
  for (const auto& [key, flow] : flows_) {
    const bool asked = flow->approved || flow->withdraw;
    // One that was denied is judged anew by its next datagram.
    if (flow->denied || !parts_.still_let_out(flow->target, flow->dialled, asked))
      cut.push_back(key);
  }
  for (const FlowKey& key : cut) EndFlow(key, "cut");
  std::erase_if(gates_, [this](const auto& gate) {
    if (parts_.judge(gate.first).verdict.action != policy::Action::kDeny) return false;
    parts_.reactor.Forget(gate.second->socket.get());
    return true;
  });
}

void Datagrams::Close() {
  while (!flows_.empty()) EndFlow(FlowKey(flows_.begin()->first), "ended with the cell");
  RecordDropped();
  for (const auto& [endpoint, gate] : gates_) parts_.reactor.Forget(gate->socket.get());
  gates_.clear();
  if (sweep_ != 0) parts_.reactor.Cancel(std::exchange(sweep_, 0));
  alive_.reset();
}

}  // namespace cellrun::net
