// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/known_hashes.h"

namespace cellrun::exec {

std::optional<std::string> KnownHashes::Find(const FileVersion& version) const {
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(version.id.inode);
  if (found == known_.end() || !(found->second.version == version)) return std::nullopt;
  return found->second.hash;
}

void KnownHashes::Remember(const FileVersion& version, const std::string& hash) {
  const std::lock_guard lock(mutex_);
  if (known_.size() >= kMax) known_.clear();
  known_[version.id.inode] = {version, hash};
}

}  // namespace cellrun::exec
