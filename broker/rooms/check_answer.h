// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"

namespace cellrun::rooms {

// Runs one external checker: `command` is a line of a profile, `request` is its standard input.
// `done` gets what it printed, on the loop's thread and once; an error's context says why it does
// not count (it failed, it took too long, …).
using RunChecker = std::function<void(const std::string& command, std::string request,
                                      std::function<void(Result<std::string> printed)> done)>;

// What a checker says: one JSON object, {"verdict": "allow" | "ask" | "deny" | "rewrite",
// "reason": "…", "argv": […]}.
struct CheckAnswer {
  enum class Verdict : std::uint8_t { kAllow, kAsk, kDeny, kRewrite };
  Verdict verdict = Verdict::kDeny;
  std::string reason;             // may be empty
  std::vector<std::string> argv;  // of kRewrite: what would run instead
};

const char* CheckVerdictName(CheckAnswer::Verdict verdict);

// Strict: what is not understood to the last member is an error.
Result<CheckAnswer> ParseCheckAnswer(std::string_view printed);

}  // namespace cellrun::rooms
