// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/approvals/ask.h"

namespace cellrun::exec {

// Whether a variable can change what a command does, beside its arguments: what is loaded into it,
// which programs it starts, where it connects to, whose configuration it reads.
bool IsVariableThatMatters(std::string_view name);

// Those that are not as the cell started with them, in the order of their names. Where a name
// stands twice with two values, each is a change: getenv(3) takes the first, the loader and bash
// the last.
std::vector<approvals::EnvironmentChange> ChangesThatMatter(const std::vector<std::string>& before,
                                                            const std::vector<std::string>& after);
// All that differ, whether they matter or not.
std::vector<approvals::EnvironmentChange> AllChanges(const std::vector<std::string>& before,
                                                     const std::vector<std::string>& after);

}  // namespace cellrun::exec
