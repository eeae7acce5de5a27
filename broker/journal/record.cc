// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/record.h"

#include <array>
#include <cstddef>

namespace cellrun::journal {

const char* KindName(Kind kind) {
  constexpr std::array kNames = {"exec", "connect", "syscall", "ask", "cell", "file", "journal"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace cellrun::journal
