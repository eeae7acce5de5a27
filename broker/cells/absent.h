// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cerrno>

#include "lib/base/result.h"

namespace cellrun::cells {

// Whether an error says that nothing is there that this user, and so a cell, could look at. Any
// other (no descriptors, no memory, a disk that fails) says nothing about that: what was to be
// hidden, protected or denied may well be there.
inline bool SaysAbsent(const Error& error) {
  constexpr std::array kAbsent = {ENOENT, ENOTDIR, EACCES, ELOOP};
  return std::find(kAbsent.begin(), kAbsent.end(), error.code()) != kAbsent.end();
}

}  // namespace cellrun::cells
