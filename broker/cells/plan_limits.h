// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "broker/cells/plan.h"
#include "lib/base/result.h"
#include "lib/wire/launch.h"

namespace cellrun::cells {

// The part of a plan that says how much the cell may use: limits of each process, processors,
// output and time. What holds less than the profile says becomes a warning.
Result<void> PlanLimits(const PlanInput& input, wire::CellPlan& plan);

}  // namespace cellrun::cells
