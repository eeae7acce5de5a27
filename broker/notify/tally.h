// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

namespace cellrun::notify {

// How often what was decided (Supervisor::counters). Written by every thread of the pool.
struct Tally {
  std::atomic<std::uint64_t> allowed{0}, asked{0}, denied{0}, missing{0}, syscalls{0},
      mismatches{0};
};

}  // namespace cellrun::notify
