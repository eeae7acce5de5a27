// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::exec {

// Over this an image is not hashed, and a rule that wants its hash does not match.
inline constexpr std::size_t kMaxHashedBytes = 512UL << 20;

// The sha256 of a regular file, as 64 hex digits. EFBIG: too large, also when it is sparse.
// ECANCELED: `stop` (may be null) became true.
Result<std::string> HashContents(const UniqueFd& contents, const std::atomic<bool>* stop);

Result<std::string> HashText(std::string_view text);

// The sha256 of strings, each with its NUL, in this order.
Result<std::string> HashStrings(const std::vector<std::string>& strings);

}  // namespace cellrun::exec
