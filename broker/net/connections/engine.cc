// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/engine.h"

#include <sys/resource.h>

#include "lib/sys/process.h"

namespace cellrun::net {

Engine::~Engine() {
  for (const std::unique_ptr<Reactor>& reactor : reactors_) {
    if (reactor != nullptr) reactor->Stop();
  }
}

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

Engine::Place Engine::Enter(const Reactor& home) {
  // One that has just ended may still be counted, and another thread has to be woken first.
  constexpr std::size_t kWorthMoving = 3;
  std::size_t best = 0;
  while (best + 1 < kThreads && reactors_.at(best).get() != &home) ++best;
  for (std::size_t i = 0; i < kThreads; ++i) {
    if (load_.at(i) + kWorthMoving <= load_.at(best)) best = i;
  }
  ++load_.at(best);
  return {.index = best, .reactor = reactors_.at(best).get()};
}

}  // namespace cellrun::net
