// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace cellrun::cells {

// Whether `path` lies in `directory`, by their names; both normalised, and not the same.
inline bool IsBelow(std::string_view path, std::string_view directory) {
  return path.size() > directory.size() + 1 && path.starts_with(directory) &&
         path[directory.size()] == '/';
}

}  // namespace cellrun::cells
