// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "launcher/options/arguments.h"

// Verbs that only print. The exit status: 0, 1 when stdout could not be written, 2 for an unknown
// name.
namespace cellrun::launcher {

int VersionVerb(const std::string& output);
int CompletionVerb(const std::string& shell);
int HelpVerb(const std::vector<std::string>& words);
// `-h`, or `--help` if `full`, of the verb that was named; without one, of cellrun.
int HelpOption(const options::Arguments& arguments, bool full);

}  // namespace cellrun::launcher
