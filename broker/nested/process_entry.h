// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::nested {

// Which process an entry of some procfs ("/proc/7", O_PATH) is about, in the broker's own pid
// namespace: the process of `caller` or one of its children. ESRCH: any other, or none.
Result<pid_t> ProcessOfEntry(const UniqueFd& entry, pid_t caller);

}  // namespace cellrun::nested
