// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

// The broker's words on the channel of a waiting room (lib/wire/control.h). None of them blocks.
namespace cellrun::exec {

// The last word: text on its stderr, cut to wire::kMaxShimText, and its end.
inline constexpr int kDeniedStatus = 126;  // what a shell says of a command that it may not execute
Result<void> SendExplanation(const UniqueFd& channel, const std::string& text,
                             int status = kDeniedStatus);

// Text on its stderr; it goes on waiting. `seconds_left` are counted down where that is a terminal;
// 0: nothing is.
Result<void> SendWait(const UniqueFd& channel, const std::string& text, std::int32_t seconds_left);

// What it executes. Nothing: its own, which are those of the exec that brought it here.
struct ShimCommand {
  const std::string& program;
  const std::vector<std::string>* argv = nullptr;
  const std::vector<std::string>* env = nullptr;
};
Result<void> SendCommand(const UniqueFd& channel, const ShimCommand& command);

// What the shim said. EPROTO for anything that is not understood.
struct ShimReport {
  bool ended = false;  // end of file
  int failed = 0;      // else: the errno of its exec
};
Result<ShimReport> ReceiveReport(const UniqueFd& channel);

}  // namespace cellrun::exec
