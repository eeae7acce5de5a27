// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdint.h>

namespace cellrun::shim {

// The line on a terminal that says how long a person has to answer, redrawn every second. Nothing
// where stderr is no terminal, and nothing while the process is in the background.
class TimeLeft {
 public:
  void Start(int32_t seconds);  // 0 or less: no line
  // Draws the line if it is due. How long poll(2) may wait until the next one; -1: for ever.
  int Show();
  void Clear();

 private:
  int64_t end_ms_ = 0;  // of the monotonic clock; 0: no line
  int64_t shown_ = -1;  // the seconds that the line says now
};

}  // namespace cellrun::shim
