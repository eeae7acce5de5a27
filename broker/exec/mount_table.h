// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cellrun::exec {

// A name in one mount namespace, and where the same file may be found in another.
struct MountedName {
  pid_t task = -1;          // whose mount namespace and root directory
  std::uint64_t mount = 0;  // stx_mnt_id of the file
  std::string path;         // from the task's root
};

// Under which names the root directory of `other` may show the file of `name`: where its file
// system is mounted there, deepest first. Guesses, each to be looked up and compared; none where a
// table cannot be read.
std::vector<std::string> NamesElsewhere(const MountedName& name, pid_t other);

}  // namespace cellrun::exec
