// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/policy.h"
#include "lib/policy/profile.h"
#include "lib/policy/request.h"

namespace cellrun::history {

// The request that running `command` in a cell of this profile would make, as far as it can be told
// from outside: the program is looked for in the profile's `path`, its interpreters are followed,
// and what the cell could write follows from the profile. `found` is false if there is no such
// program here; it is then taken for one of that name in /usr/bin.
struct CommandRequest {
  policy::ExecRequest request;
  bool found = true;
};
CommandRequest MakeRequest(const std::vector<std::string>& command, const policy::Profile& profile,
                           const policy::Places& places, const std::string& directory);

}  // namespace cellrun::history
