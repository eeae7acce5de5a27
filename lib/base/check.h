// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cellrun {

// Prints "CHECK failed: EXPRESSION (FILE:LINE)" to stderr with write(2) and aborts.
// Async-signal-safe.
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line) noexcept;

}  // namespace cellrun

// For our own bugs and for the post-conditions of every privilege drop. Never for input.
#define CHECK(condition)                               \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::cellrun::CheckFailed(#condition, __FILE__, __LINE__))
