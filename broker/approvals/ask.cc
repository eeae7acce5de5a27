// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/ask.h"

#include <array>
#include <cstddef>

namespace cellrun::approvals {

const char* StateName(State state) {
  constexpr std::array kNames = {"pending", "approved", "denied", "expired", "withdrawn"};
  return kNames[static_cast<std::size_t>(state)];
}

const char* ScopeName(Scope scope) {
  constexpr std::array kNames = {"once", "cell", "project", "always"};
  return kNames[static_cast<std::size_t>(scope)];
}

}  // namespace cellrun::approvals
