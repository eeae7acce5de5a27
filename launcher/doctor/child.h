// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "lib/base/result.h"

namespace cellrun::doctor {

// What a child had to say.
struct Reply {
  int code = 0;      // 0, or an errno > 0
  std::string text;  // at most 4000 bytes
};

inline constexpr std::chrono::seconds kChildTime{10};

// Runs `body` in a forked child, so that whatever it does to itself ends with it. Call it
// single-threaded. ETIMEDOUT: it was killed after `time`; ECHILD: it ended without a reply, the
// context says by which signal or status.
Result<Reply> InChild(const std::function<Reply()>& body,
                      std::chrono::milliseconds time = kChildTime);

// The same in a child with namespaces of its own (flags of clone3(2), with CLONE_NEWUSER), in whose
// user namespace the caller's ids are mapped onto themselves and every mount is private. A failing
// step is in the reply: its errno, and its name as text.
Result<Reply> InNamespaces(unsigned long long flags, const std::function<Reply()>& body);

// Ends the child's part of a Reply by hand: for `body` running below a fork of its own.
Reply Failed(const Error& error);

}  // namespace cellrun::doctor
