// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/exec/attachments.h"
#include "broker/exec/known_hashes.h"
#include "broker/exec/proposals.h"
#include "broker/exec/waiter.h"
#include "broker/journal/record.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/policy.h"

namespace cellrun::net {
class Egress;
}

namespace cellrun::notify {

// What the supervisor of one cell has to know about it. The descriptors are owned; the sink is
// borrowed and outlives the supervisor.
struct CellFacts {
  std::string cell_id;
  std::string cell_name;
  std::string profile_name;
  std::string workspace;
  // What the cell's command was started with: changes of a command's environment are shown against
  // it.
  std::vector<std::string> environment;
  std::shared_ptr<const policy::Policy> policy;  // not null; see Supervisor::ReplacePolicy
  journal::Sink* journal = nullptr;              // not null
  // The cell's copy of the shim, opened O_RDONLY through the cell's own read-only mount. Invalid:
  // every explained denial becomes a plain EACCES.
  UniqueFd shim;
  UniqueFd denials;     // O_WRONLY | O_APPEND; may be invalid
  pid_t init_pid = -1;  // of the cell's init, in the broker's pid namespace
  // The cell's one user as the kernel sees it, and what it is called inside (rules and records).
  uid_t host_uid = 0;
  gid_t host_gid = 0;
  uid_t inside_uid = 0;
  std::string user;
  // Takes over what has to wait for somebody. Null: nobody is there, asks are denied at once.
  exec::Admit admit;
  // Takes over what is allowed, but runs elsewhere (`run: mirror`, `run: ghost`). Null: it is
  // denied.
  exec::Admit run_elsewhere;
  bool attended = true;  // it was started from a terminal: somebody may be there to be asked
  bool nests = false;    // its tasks may make namespaces of their own (the opt-in `userns`)
  std::shared_ptr<exec::Proposals> proposals;         // may be null
  std::shared_ptr<exec::KnownHashes> hashes;          // may be null
  std::shared_ptr<exec::SharedPlaces> shared_places;  // may be null
  // Where the cell has a gateway; else null, and nothing can leave.
  std::shared_ptr<net::Egress> egress;
  bool observe = false;  // run what would be denied, and record what the verdict would have been
};

}  // namespace cellrun::notify
