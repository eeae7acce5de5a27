// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "lib/base/result.h"
#include "lib/policy/source.h"
#include "lib/wire/launch.h"

namespace cellrun::cells {

// EINVAL: a destination of --net is none; the context names it and says why.
Result<void> CheckNetwork(const wire::RunRequest& request);

// What --net grants, as a document of the command line's layer; nothing where it was not given.
// The request has been checked.
std::optional<policy::Source> CommandLineDocument(const wire::RunRequest& request);

}  // namespace cellrun::cells
