// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace cellrun::sys {

// `bytes` random bytes as 2 × bytes hex digits, from getrandom(2); aborts if the kernel has none.
std::string RandomHex(std::size_t bytes);

}  // namespace cellrun::sys
