// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/options/arguments.h"

namespace cellrun::launcher {

// cellrun port CELL [PORT]. The exit status: 1 where the cell or the port is not there.
int PortVerb(const options::Arguments& arguments);

}  // namespace cellrun::launcher
