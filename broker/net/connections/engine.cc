// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/engine.h"

#include <sys/resource.h>

#include "lib/sys/process.h"

namespace cellrun::net {

Result<void> Engine::Start() {
  // Two descriptors each, and four more while something is held in both directions.
  constexpr std::uint64_t kShare = 8;
  limit_ = TRY(sys::GetLimit(RLIMIT_NOFILE)).rlim_cur / kShare;
  for (std::unique_ptr<Reactor>& reactor : reactors_) {
    if (reactor == nullptr) reactor = TRY(Reactor::Start());
  }
  return {};
}

bool Engine::Full() const {
  std::size_t relays = 0;
  for (const std::atomic<std::size_t>& load : load_) relays += load;
  return relays >= limit_;
}

Reactor& Engine::Next() {
  return *reactors_.at(next_++ % kThreads);
}

Engine::Place Engine::Enter() {
  std::size_t best = 0;
  for (std::size_t i = 1; i < kThreads; ++i) {
    if (load_.at(i) < load_.at(best)) best = i;
  }
  ++load_.at(best);
  return {.index = best, .reactor = reactors_.at(best).get()};
}

}  // namespace cellrun::net
