// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cellrun::journal {

inline constexpr std::string_view kRedacted = "‹redacted›";

// Replaces what looks like a secret in an argument list: values after password-like flags
// (--password X, --api-key=X), NAME=value of password-like names, user information and
// password-like query values of URLs, the values of Authorization and similar headers; also inside
// a `sh -c` text. Whether anything was replaced. A safeguard for readers, not a guarantee: a secret
// given as a bare word cannot be told from any other.
bool Redact(std::vector<std::string>& argv);

}  // namespace cellrun::journal
