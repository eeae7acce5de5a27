// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <string>

namespace cellrun::rooms {

inline constexpr std::size_t kMaxReasonBytes = 600;

// What an asked command says on its stderr while it waits:
//
//   cellrun: waiting for approval 7f3a (1m40s)
//   to answer, outside the cell: cellrun approve 7f3a, or cellrun deny 7f3a
std::string WaitingText(const std::string& id, std::chrono::milliseconds left);

}  // namespace cellrun::rooms
