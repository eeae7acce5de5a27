// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/options/arguments.h"

namespace cellrun::launcher {

// cellrun egress list|add|remove|reload|bypass. The exit status.
int EgressVerb(const options::Arguments& arguments);

}  // namespace cellrun::launcher
