// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>

namespace cellrun::test {

// How much longer than usual everything may take: 1, or what CELLRUN_TIME_FACTOR says.
inline int TimeFactor() {
  const char* value = getenv("CELLRUN_TIME_FACTOR");
  const int factor = value == nullptr ? 1 : atoi(value);
  return factor < 1 ? 1 : factor;
}

}  // namespace cellrun::test
