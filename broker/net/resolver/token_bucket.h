// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>

namespace cellrun::net {

// How often something may happen: at most `burst` times at once and `per_second` in the long run.
// One thread at a time.
class TokenBucket {
 public:
  using Clock = std::chrono::steady_clock;
  TokenBucket(double per_second, double burst, Clock::time_point now = Clock::now())
      : per_second_(per_second), burst_(burst), tokens_(burst), filled_(now) {}

  [[nodiscard]] bool Take(Clock::time_point now) {
    const std::chrono::duration<double> passed = now - filled_;
    tokens_ = std::min(burst_, tokens_ + passed.count() * per_second_);
    filled_ = now;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  const double per_second_, burst_;
  double tokens_;
  Clock::time_point filled_;
};

}  // namespace cellrun::net
