// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "broker/cells/cell.h"
#include "broker/journal/record.h"

namespace cellrun::cells {

struct CellMoment {
  const char* result = "";  // started, policy, ended
  pid_t init_pid = 0;
  std::vector<std::string> layers;
  const wire::ExitReport& report;                       // counts only once it has ended
  const std::map<std::string, std::uint64_t>& lookups;  // as that; none if there were none
};
// What the journal says of a cell as a whole.
journal::Record RecordOf(const Cell::Setup& setup, const CellMoment& moment);

// And what the records of its connections say.
net::CellIdentity NetIdentity(const Cell::Setup& setup);

}  // namespace cellrun::cells
