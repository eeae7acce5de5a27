// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "broker/approvals/ask.h"

namespace cellrun::approvals {

// sha256, 64 hex digits, over a canonical encoding of all that a person is shown of the command: an
// answer names it, so nobody approves what he did not see. What tells one process from another that
// asks the same (pid, place of the script's copy) is not in it: those asks are one.
std::string DigestOf(const Ask& ask);

}  // namespace cellrun::approvals
