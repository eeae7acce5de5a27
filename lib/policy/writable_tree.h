// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/profile.h"

namespace cellrun::policy {

// Whether `path` is `directory` or below it. Both absolute, without a slash at the end.
bool IsWithin(std::string_view path, std::string_view directory);

// "/a/./b//c/.." as "/a/b", without looking at any file.
std::string NormalizePath(std::string_view path);

// Where a cell under this profile could write, by the profile's words alone: the workspace, the
// directories that are private to every cell, `write` and `home`; the longest prefix counts.
class WritableTree {
 public:
  WritableTree(const Profile& profile, const Places& places);
  [[nodiscard]] bool Contains(std::string_view path) const;
  // Writable and not under `noexec`.
  [[nodiscard]] bool CanWriteAndRun(std::string_view path) const;
  [[nodiscard]] const std::vector<std::pair<std::string, bool>>& parts() const { return parts_; }

 private:
  std::vector<std::pair<std::string, bool>> parts_;  // directory, writable
  std::vector<std::string> noexec_;
};

}  // namespace cellrun::policy
