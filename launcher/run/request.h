// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/cell/cell.h"
#include "launcher/run/run.h"
#include "lib/wire/launch.h"

namespace cellrun::launcher {

// Everything of a request that does not depend on streams and broker: workspace, profile documents,
// grants, environment.
Outcome<wire::RunRequest> MakeRequest(const RunOptions& options);

}  // namespace cellrun::launcher
