// SPDX-License-Identifier: Apache-2.0
#include "broker/net/resolver/resolver.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lib/base/log.h"
#include "lib/sys/socket.h"

namespace cellrun::net {
namespace {

constexpr std::size_t kBatch = 16;  // about 0.2 ms
constexpr std::chrono::milliseconds kPause{2};

}  // namespace

Result<void> Resolver::Bind(const Sockets& sockets, const Address& address) {
  constexpr std::uint16_t kDnsPort = 53;
  constexpr int kBacklog = 64;
  const SocketAddress bound = SocketAddressOf({.address = address, .port = kDnsPort});
  TRY(sys::BindInternet(sockets.datagrams, bound.get(), bound.size).With("DNS over UDP"));
  TRY(sys::BindInternet(sockets.streams, bound.get(), bound.size).With("DNS over TCP"));
  return sys::Listen(sockets.streams, kBacklog);
}

Resolver::Resolver(loop::Loop& loop, Sockets sockets, std::shared_ptr<Names> names,
                   std::shared_ptr<const EgressJudge> judge, ResolverLimits limits,
                   ResolverEvents events)
    : loop_(loop),
      sockets_(std::move(sockets)),
      answerer_(std::move(names), std::move(judge), limits, std::move(events)),
      queries_(limits.queries_per_second, limits.queries_burst),
      batch_(kBatch, kMaxQueryBytes + 1) {
  const Result<void> counted = sys::SetOption(sockets_.datagrams, SOL_SOCKET, SO_RXQ_OVFL, 1);
  if (!counted.ok()) {
    log::Warn("dropped queries will not be counted; ignoring",
              {{"error", counted.error().ToString()}});
  }
  WatchDatagrams();
  watch_streams_ = loop_.WatchReadable(sockets_.streams, [this] { TakeStreams(); });
}

Resolver::~Resolver() = default;

void Resolver::WatchDatagrams() {
  watch_datagrams_ = loop_.WatchReadable(sockets_.datagrams, [this] { TakeDatagrams(); });
}

void Resolver::TakeDatagrams() {
  const Result<std::size_t> count = batch_.Receive(sockets_.datagrams);
  if (!count.ok()) return;  // an ICMP error for an answer: it has been taken now
  answerer_.counters().dropped += batch_.dropped() - dropped_seen_;
  dropped_seen_ = batch_.dropped();
  const auto now = TokenBucket::Clock::now();
  bool too_fast = false;
  for (std::size_t i = 0; i < *count; ++i) {
    too_fast = !queries_.Take(now) || too_fast;
    const sys::DatagramBatch::Datagram datagram = batch_.at(i);
    const std::string answer = answerer_.Answer(datagram.bytes, Answerer::Transport::kDatagram);
    if (answer.empty()) continue;
    // A client that does not take its answers loses them.
    (void)sys::SendDatagram(sockets_.datagrams, answer, datagram.from, datagram.from_size);
  }
  if (too_fast) Pause();
}

void Resolver::Pause() {
  watch_datagrams_.reset();
  pause_ = loop_.After(kPause, [this] { WatchDatagrams(); });
}

void Resolver::TakeStreams() {
  Result<UniqueFd> stream = sys::Accept(sockets_.streams, SOCK_NONBLOCK);
  if (!stream.ok()) return;
  if (streams_.size() >= answerer_.limits().streams) {
    ++answerer_.counters().streams_closed;
    streams_.pop_front();
  }
  streams_.push_back(std::make_unique<Stream>(loop_, std::move(*stream), answerer_, queries_,
                                              [this](const Stream* ended) { CloseStream(ended); }));
}

void Resolver::CloseStream(const Stream* stream) {
  const auto found = std::find_if(streams_.begin(), streams_.end(),
                                  [&](const auto& known) { return known.get() == stream; });
  if (found != streams_.end()) streams_.erase(found);
}

}  // namespace cellrun::net
