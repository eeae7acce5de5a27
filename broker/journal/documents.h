// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

#include "broker/journal/journal.h"
#include "lib/base/result.h"
#include "lib/policy/load.h"

namespace cellrun::journal {

// Keeps every document of a cell's profile and describes how the policy is made of them:
// {"sources": [{"digest", "name", "origin", "layer"}], "home", "workspace"}. The records of a
// cell's start and end carry it in their detail as the member "documents"; `why` reads it back.
Result<nlohmann::json> KeepDocuments(Journal& journal, const std::vector<policy::Source>& sources,
                                     const policy::Places& places);

}  // namespace cellrun::journal
