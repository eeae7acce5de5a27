// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "lib/policy/schema.h"

namespace cellrun::policy {

// The parts of the key table, in order; everybody else asks KeyTable().
std::span<const Key> CellKeys();  // what a cell is made of and which files it sees
std::span<const Key> RuleKeys();  // commands, connections, system calls
std::span<const Key> RunKeys();   // limits, environment, what the broker does, tests

}  // namespace cellrun::policy
