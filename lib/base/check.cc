// SPDX-License-Identifier: Apache-2.0
#include "lib/base/check.h"

#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace cellrun {
namespace {

void Put(const char* text) noexcept {
  (void)!write(STDERR_FILENO, text, strlen(text));
}

}  // namespace

void CheckFailed(const char* expression, const char* file, int line) noexcept {
  char digits[12];
  char* at = digits + sizeof digits;
  *--at = '\0';
  do {
    *--at = static_cast<char>('0' + line % 10);
    line /= 10;
  } while (line != 0 && at > digits);
  Put("CHECK failed: ");
  Put(expression);
  Put(" (");
  Put(file);
  Put(":");
  Put(at);
  Put(")\n");
  abort();
}

}  // namespace cellrun
