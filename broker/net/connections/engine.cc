// SPDX-License-Identifier: Apache-2.0
#include "broker/net/connections/engine.h"

namespace cellrun::net {

Result<void> Engine::Start() {
  for (std::unique_ptr<Reactor>& reactor : reactors_) {
    if (reactor == nullptr) reactor = TRY(Reactor::Start());
  }
  return {};
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
