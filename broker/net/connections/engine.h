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
  Engine() = default;
  // Ends both before either goes: one has work for the other.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // EAGAIN: no threads.
  Result<void> Start();
  // A cell's own, in turn.
  Reactor& Next();
  // For a relay, until Leave: `home`, or one that has several fewer. What comes to a cell's own
  // thread need not wake another. Thread-safe.
  struct Place {
    std::size_t index = 0;
    Reactor* reactor = nullptr;
  };
  Place Enter(const Reactor& home);
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
