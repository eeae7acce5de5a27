// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cellrun::sys {

// `bytes` random bytes as 2 × bytes hex digits, from getrandom(2); aborts if the kernel has none.
std::string RandomHex(std::size_t bytes);
// From the same source; any number is as likely.
std::uint16_t RandomNumber16();

}  // namespace cellrun::sys
