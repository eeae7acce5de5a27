// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/options/arguments.h"
#include "launcher/run/run.h"

namespace cellrun::launcher {

// What the command line of `run` means; it was parsed, so nothing can be wrong with it.
RunOptions ToRunOptions(const options::Arguments& arguments);

// Runs the command. Where it was not found and its name is a slip away from a verb, says so.
int RunVerb(const options::Arguments& arguments);

}  // namespace cellrun::launcher
