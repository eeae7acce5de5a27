// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "broker/exec/waiter.h"

namespace cellrun::exec {

// What a person should know before an answer, in cellrun's own words: one sentence each, with
// nothing in it that the cell has written.
std::vector<std::string> FindRisks(const AskedExec& asked);

}  // namespace cellrun::exec
