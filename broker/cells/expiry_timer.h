// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <utility>

#include "broker/loop/loop.h"

namespace cellrun::cells {

// Calls `look` when `expiry` has come, and after ten minutes at the latest: a timer is monotonic
// and an expiry is not. Whoever looks too early arms the next one.
inline std::unique_ptr<loop::Loop::Timer> AtExpiry(loop::Loop& loop,
                                                   std::chrono::system_clock::time_point expiry,
                                                   std::function<void()> look) {
  constexpr std::chrono::milliseconds kSoonest{1}, kLookAgain{600'000};
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(expiry - std::chrono::system_clock::now());
  return loop.After(std::clamp(left, kSoonest, kLookAgain), std::move(look));
}

}  // namespace cellrun::cells
