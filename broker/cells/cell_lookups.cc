// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/cell_lookups.h"

#include <utility>

namespace cellrun::cells {

CellLookups::CellLookups(loop::Loop& loop, net::Resolver::Sockets sockets, MakeJudge make_judge,
                         RefusedNames refused)
    : loop_(loop),
      sockets_(std::move(sockets)),
      make_judge_(std::move(make_judge)),
      refused_(std::move(refused)),
      datagrams_(loop_.WatchReadable(sockets_.datagrams, [this] { Begin(); })),
      streams_(loop_.WatchReadable(sockets_.streams, [this] { Begin(); })) {}

std::map<std::string, std::uint64_t> CellLookups::Counters() const {
  if (resolver_ == nullptr) return {};
  return resolver_->counters().Read();
}

// What has come waits in its socket.
void CellLookups::Begin() {
  // One watch a descriptor: the resolver has its own.
  datagrams_.reset();
  streams_.reset();
  const std::shared_ptr<const net::EgressJudge> judge = make_judge_();
  if (judge == nullptr) return;
  net::ResolverEvents events;
  events.refused = [this, judge](const std::string& name) { refused_.Refuse(name, *judge); };
  resolver_ =
      std::make_unique<net::Resolver>(loop_, std::move(sockets_), std::make_shared<net::Names>(),
                                      judge, net::ResolverLimits{}, std::move(events));
}

}  // namespace cellrun::cells
