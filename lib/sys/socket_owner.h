// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>
#include <sys/types.h>

#include "lib/base/result.h"

namespace cellrun::sys {

// The user who made the TCP socket of this network namespace that is connected from `local` to
// `remote`, both AF_INET or both AF_INET6. ENOENT: there is none, as when it is of another machine.
Result<uid_t> SocketOwner(const sockaddr_storage& local, const sockaddr_storage& remote);

}  // namespace cellrun::sys
