// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::daemon {

// What makes this process the one broker of its runtime directory: the lock, and the sockets bound
// under it.
struct Instance {
  std::string runtime_directory, state_directory;
  UniqueFd lock;
  UniqueFd launch, api, listener;  // listening
};

// EBUSY: another broker holds the lock. Sockets that a dead broker left behind are replaced;
// nothing else is.
Result<Instance> BecomeTheBroker();

}  // namespace cellrun::daemon
