// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cellrun::launcher {

// What a walk saw of every entry of a directory tree, by its path relative to the tree. Links are
// not followed, other file systems are.
struct Sight {
  std::uint32_t mode = 0;
  std::uint64_t inode = 0, size = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;
};
using Snapshot = std::map<std::string, Sight>;

inline constexpr std::size_t kMaxSnapshotEntries = 200'000;
// Nothing: the tree has more entries than that.
std::optional<Snapshot> TakeSnapshot(const std::string& root);

struct Change {
  std::string path, kind;  // "created", "changed", "deleted"
  std::uint64_t size = 0;
  bool self_executing = false;
};
std::vector<Change> CompareSnapshots(const Snapshot& before, const Snapshot& after);

// Whether tools run the file, or commands in it, without being told to: git hooks, editor tasks,
// environment files of shells, package scripts.
bool IsSelfExecuting(std::string_view path);

}  // namespace cellrun::launcher
