// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/profile.h"
#include "lib/wire/launch.h"

// What a cell's init is told over its control socket (lib/wire/control.h). Each waits in the socket
// until there is an init; EPIPE: it has gone.
namespace cellrun::cells {

inline constexpr std::uint32_t kMainOrder = 1;  // the id of the command in init's answers

// To install the filter, and with which token its listener comes back.
Result<void> OrderFilter(const UniqueFd& control, const policy::Profile& profile,
                         const wire::CellPlan& plan, const std::string& token);
// To start the command; `streams` are the given ones in order.
Result<void> OrderCommand(const UniqueFd& control, const wire::RunRequest& request,
                          const std::vector<std::string>& environment,
                          const std::vector<UniqueFd>& streams);
// To fork a keeper with this end of its socket (lib/wire/run.h).
Result<void> OrderKeeper(const UniqueFd& control, const UniqueFd& keeper);
// To make `count` TCP sockets of its network (1 to wire::kMaxSocketsOrdered).
Result<void> OrderSockets(const UniqueFd& control, int family, int count);
// To signal the process group of its child `pid`, a number inside.
Result<void> OrderSignal(const UniqueFd& control, std::int32_t pid, int signal);

}  // namespace cellrun::cells
