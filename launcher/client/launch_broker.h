// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::launcher {

inline constexpr std::chrono::milliseconds kBrokerStartLimit{10'000};

enum class BrokerStart : std::uint8_t {
  kServing,  // the one just started is ready
  kBusy,     // another one holds the lock: it serves already, or is about to leave
};

// Starts this installation's broker as a daemon of its own session, with a clean environment and
// none of our descriptors, and waits until it says that it serves. The error's context is its own
// message. Call it single-threaded.
Result<BrokerStart> StartBroker();

// A connection to `socket_path`, or ENOENT or ECONNREFUSED when nobody serves there; EPERM when
// somebody else does.
Result<UniqueFd> ConnectToBroker(const std::string& socket_path);

// Connects, and starts the broker where nobody serves: what every client does. `socket_path` lies
// in the runtime directory `runtime`, which was verified.
Result<UniqueFd> ConnectOrStart(const std::string& runtime, const std::string& socket_path);

}  // namespace cellrun::launcher
