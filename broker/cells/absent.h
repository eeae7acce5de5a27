// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/file.h"

namespace cellrun::cells {

// Whether an error says that nothing is there that this user, and so a cell, could look at. Any
// other (no descriptors, no memory, a disk that fails) says nothing about that: what was to be
// hidden, protected or denied may well be there.
inline bool SaysAbsent(const Error& error) {
  constexpr std::array kAbsent = {ENOENT, ENOTDIR, EACCES, ELOOP};
  return std::find(kAbsent.begin(), kAbsent.end(), error.code()) != kAbsent.end();
}

// Whether a directory certainly has no such entry; of a longer path nothing is said. Half the price
// of trying to open it, and most names that are protected do not exist.
inline bool IsMissingEntry(const UniqueFd& directory, const std::string& name) {
  if (name.find('/') != std::string::npos) return false;
  const Result<struct stat> there =
      sys::FstatAt(directory.get(), name.c_str(), AT_SYMLINK_NOFOLLOW);
  return !there.ok() && there.error().code() == ENOENT;
}

}  // namespace cellrun::cells
