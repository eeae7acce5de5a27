// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/policy/profile.h"
#include "lib/wire/launch.h"

namespace cellrun::cells {

// The environment of the cell's first command, "NAME=value", sorted by name: what
// `environment.pass` lets cross from the caller's, the fixed variables of a cell,
// `environment.set`, `--env`, in rising precedence; CELLRUN_* cannot be overridden.
std::vector<std::string> CellEnvironment(const policy::Profile& profile,
                                         const wire::RunRequest& request, const std::string& user,
                                         const std::string& cell_id);

}  // namespace cellrun::cells
