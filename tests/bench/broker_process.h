// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "tests/bench/timing.h"

namespace cellrun::bench {

// The broker that serves the bench; 0 when none runs.
pid_t BrokerPid(const Setting& setting);

// What a process has in memory; 0 when that cannot be seen.
long ResidentKib(pid_t pid);

}  // namespace cellrun::bench
