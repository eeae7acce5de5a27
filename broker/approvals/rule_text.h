// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "broker/approvals/ask.h"
#include "lib/base/result.h"

namespace cellrun::approvals {

// What makes a rule of an answer.
struct RuleRequest {
  std::string id;  // of the rule
  const Ask& ask;
  bool allow = false;
  Scope scope = Scope::kCell;
  bool widen = false;  // any content of the image
  std::string by, reason;
  std::optional<std::chrono::system_clock::time_point> expires;
};

// The rule that an answer stores, as YAML for `commands: rules:`, beginning with "- ". It matches
// exactly what was shown: the program by its canonical path and content, every argument, the
// directory (except for scope always, which is for everywhere), each variable that was shown, and
// no loader or interpreter variable beside those. EINVAL: no rule can do that (the context says
// why).
//
// The rule is tried before it is given out: it matches the ask, and not the ask with anything
// added.
Result<std::string> RuleText(const RuleRequest& request);

// "2026-11-21T19:00:00Z", as `expires:` takes it.
std::string ExpiryText(std::chrono::system_clock::time_point time);

}  // namespace cellrun::approvals
