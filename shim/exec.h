// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "shim/block.h"

namespace cellrun::shim {

// As execvpe(3): a program without a slash is looked for in PATH of the command's environment (the
// usual directories where that has none), EACCES is remembered while the search goes on, and what
// has no known format is given to /bin/sh. Each attempt is judged by the broker. Returns an errno.
int ExecInPath(const Command& command);

}  // namespace cellrun::shim
