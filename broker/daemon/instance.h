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
  UniqueFd launch, api, listener;  // listening, after Listen

  // Binds the sockets; those that a dead broker left behind are replaced, nothing else is. Last of
  // all that can fail at the start, so that a broker which cannot serve leaves none.
  Result<void> Listen();
};

// EBUSY: another broker holds the lock.
Result<Instance> BecomeTheBroker();

}  // namespace cellrun::daemon
