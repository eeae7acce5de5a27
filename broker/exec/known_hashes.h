// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>

#include "broker/exec/image.h"

namespace cellrun::exec {

// Hashes of images that those who run them cannot write, for all cells. Thread-safe.
class KnownHashes {
 public:
  // 64 hex digits; nothing: it has not been hashed in this version.
  [[nodiscard]] std::optional<std::string> Find(const FileVersion& version) const;
  void Remember(const FileVersion& version, const std::string& hash);

 private:
  struct Known {
    FileVersion version;
    std::string hash;
  };
  static constexpr std::size_t kMax = 1024;

  mutable std::mutex mutex_;
  std::unordered_map<std::uint64_t, Known> known_;  // by inode; guarded by mutex_
};

}  // namespace cellrun::exec
