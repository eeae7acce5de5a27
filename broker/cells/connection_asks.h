// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>

#include "broker/approvals/queue.h"
#include "broker/loop/loop.h"
#include "broker/net/connections/egress.h"
#include "lib/policy/profile.h"

namespace cellrun::cells {

// How a cell asks a person about a connection.
struct AskTerms {
  std::chrono::milliseconds timeout{0};
  policy::Action on_timeout = policy::Action::kDeny;
  bool attended = true;  // as approvals::Ask
  std::size_t max_pending = 64;
  pid_t init_pid = 0;  // of the cell
};
AskTerms TermsOf(const policy::Profile& profile, bool from_terminal, pid_t init_pid);

// Asks through the queue of approvals, from any thread. Both outlive every cell.
net::Egress::Ask AskThrough(loop::Loop& loop, approvals::Queue& queue, net::CellIdentity cell,
                            AskTerms terms);

}  // namespace cellrun::cells
