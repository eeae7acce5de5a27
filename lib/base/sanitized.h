// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

#include <string_view>
#include <vector>

namespace cellrun {

// What a process whose environment is made anew still gets of ours where a sanitizer is built in:
// without it nobody would see what that process reports. Borrowed from environ; empty in every
// other build.
inline std::vector<char*> SanitizerEnvironment() {
  std::vector<char*> passed;
#ifdef CELLRUN_SANITIZED
  for (char** entry = environ; *entry != nullptr; ++entry) {
    for (const std::string_view name :
         {"ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=", "TSAN_OPTIONS="}) {
      if (std::string_view(*entry).starts_with(name)) passed.push_back(*entry);
    }
  }
#endif
  return passed;
}

}  // namespace cellrun
