// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <mutex>
#include <utility>

#include "broker/net/relay/relay.h"

namespace cellrun::net {

// A connection into one cell that another cell's relay carries: the first may end it, and is told
// what came of it. Thread-safe.
class Lease {
 public:
  using Ended = std::function<void(const Traffic& traffic, const char* how)>;
  explicit Lease(Ended ended) : ended_(std::move(ended)) {}
  // One that nobody has carried.
  ~Lease() { End({}, "abandoned"); }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

  // How it is cut; at once if that was wanted before.
  void WhenRevoked(std::function<void()> cut) {
    std::unique_lock lock(mutex_);
    if (!revoked_) {
      cut_ = std::move(cut);
      return;
    }
    lock.unlock();
    cut();
  }
  void Revoke() {
    std::unique_lock lock(mutex_);
    revoked_ = true;
    const std::function<void()> cut = std::exchange(cut_, nullptr);
    lock.unlock();
    if (cut) cut();
  }
  void End(const Traffic& traffic, const char* how) {
    std::unique_lock lock(mutex_);
    const Ended ended = std::exchange(ended_, nullptr);
    lock.unlock();
    if (ended) ended(traffic, how);
  }

 private:
  std::mutex mutex_;
  bool revoked_ = false;  // guarded by mutex_, as the rest
  std::function<void()> cut_;
  Ended ended_;
};

}  // namespace cellrun::net
