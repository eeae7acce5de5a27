// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/options/arguments.h"

namespace cellrun::launcher {

// `cellrun request`, in a cell: says why, and then becomes the command, which waits for a person
// where the profile would deny or ask. Returns only when that fails: the exit status.
int RequestVerb(const options::Arguments& arguments);

}  // namespace cellrun::launcher
