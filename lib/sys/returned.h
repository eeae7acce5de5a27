// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

// What a system call returned, for the wrappers of this folder: negative is errno's error.
namespace cellrun::sys {

inline Result<void> Check(long result, const char* operation) {
  if (result < 0) return ErrnoError(operation);
  return {};
}

inline Result<UniqueFd> Own(long fd, const char* operation) {
  if (fd < 0) return ErrnoError(operation);
  return UniqueFd(static_cast<int>(fd));
}

}  // namespace cellrun::sys
