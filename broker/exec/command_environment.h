// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/policy/profile.h"

namespace cellrun::exec {

// The environment of a command that was approved, out of its caller's: without what
// `environment.drop` names, and without what makes a loader, a shell or an interpreter run code of
// the caller's choice before the command's own. Nothing is added, and nothing changes its place.
std::vector<std::string> CommandEnvironment(const policy::Profile& profile,
                                            const std::vector<std::string>& environment);

}  // namespace cellrun::exec
