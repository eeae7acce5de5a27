// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace cellrun::daemon {

// Descriptors of the broker. What it needs itself, and what each cell may: with a gateway and its
// stock of sockets, published ports and those kept ready for them, and a process that is being
// judged; DescriptorLimitsTest counts them.
inline constexpr std::size_t kOwnDescriptors = 32;
inline constexpr std::size_t kDescriptorsOfACell = 54;
// Its cgroup, a link for each hook, its processes; root's only.
inline constexpr std::size_t kDescriptorsOfAWall = 10;

}  // namespace cellrun::daemon
