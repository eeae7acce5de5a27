// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/random.h"

#include <sys/random.h>

#include "lib/base/check.h"

namespace cellrun::sys {

std::string RandomHex(std::size_t bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string raw(bytes, '\0');
  CHECK(bytes <= 256);  // up to there getrandom is never short and never interrupted
  CHECK(getrandom(raw.data(), raw.size(), 0) == static_cast<ssize_t>(bytes));
  std::string hex;
  for (char c : raw) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 0xf];
  }
  return hex;
}

std::uint16_t RandomNumber16() {
  std::uint16_t number = 0;
  CHECK(getrandom(&number, sizeof number, 0) == sizeof number);
  return number;
}

}  // namespace cellrun::sys
