// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "broker/loop/loop.h"
#include "broker/net/address/address.h"
#include "broker/net/resolver/answerer.h"
#include "broker/net/resolver/stream.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/internet.h"

namespace cellrun::net {

// The DNS server of one cell: the Answerer on a bound UDP and a listening TCP socket of the cell's
// gateway. Made, used and destroyed on the thread of its loop, which must not be a supervisor's. It
// takes a few datagrams at a time and pauses a cell that asks too fast, so that cells on one loop
// have it in turn; what such a cell sends meanwhile fills its socket's queue, and what does not fit
// there is counted. Memory does not depend on what is sent.
class Resolver {
 public:
  struct Sockets {
    UniqueFd datagrams, streams;
  };
  // Both to port 53 of this address; the one of TCP then listens.
  static Result<void> Bind(const Sockets& sockets, const Address& address);
  Resolver(loop::Loop& loop, Sockets sockets, std::shared_ptr<Names> names,
           std::shared_ptr<const EgressJudge> judge, ResolverLimits limits = {},
           ResolverEvents events = {});
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // Any thread may read them.
  [[nodiscard]] const ResolverCounters& counters() const { return answerer_.counters(); }

 private:
  void WatchDatagrams();
  void TakeDatagrams();
  void Pause();
  void TakeStreams();
  void CloseStream(const Stream* stream);

  loop::Loop& loop_;
  const Sockets sockets_;
  Answerer answerer_;
  TokenBucket queries_;
  sys::DatagramBatch batch_;
  std::uint32_t dropped_seen_ = 0;
  std::list<std::unique_ptr<Stream>> streams_;  // the oldest first
  std::unique_ptr<loop::Loop::Watch> watch_datagrams_, watch_streams_;
  std::unique_ptr<loop::Loop::Timer> pause_;
};

}  // namespace cellrun::net
