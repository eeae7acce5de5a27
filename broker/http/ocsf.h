// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace cellrun::http {

// A record (docs/journal.md) as an event of the Open Cybersecurity Schema Framework 1.1: Process
// Activity (1007) for exec, ask, syscall and cell, Network Activity (4001) for connect, File System
// Activity (1001) for file, Application Lifecycle (6002) for the journal's own notes. Everything of
// the record that OCSF has no place for is under "unmapped".
nlohmann::json ToOcsf(const nlohmann::json& record);

}  // namespace cellrun::http
