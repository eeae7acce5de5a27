// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "broker/net/reactor/reactor.h"

namespace cellrun::net {

// The threads that serve the connections of every cell. Started when the first cell needs them.
// Only on the loop's thread, but for Lightest.
class Engine {
 public:
  static constexpr std::size_t kThreads = 2;

  // EAGAIN: no threads.
  Result<void> Start();
  // A cell's own, in turn.
  Reactor& Next();
  // The one with the fewest relays; ended by Leave. Thread-safe.
  struct Place {
    std::size_t index = 0;
    Reactor* reactor = nullptr;
  };
  Place Enter();
  void Leave(const Place& place) { --load_.at(place.index); }
  // Whether all cells together have as many relays as leave descriptors for everything else that
  // the broker does. Thread-safe.
  [[nodiscard]] bool Full() const;

 private:
  std::array<std::unique_ptr<Reactor>, kThreads> reactors_;
  std::array<std::atomic<std::size_t>, kThreads> load_{};
  std::size_t next_ = 0;
  std::atomic<std::size_t> limit_{0};
};

}  // namespace cellrun::net
