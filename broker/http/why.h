// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "broker/journal/reader.h"
#include "lib/base/result.h"

namespace cellrun::http {

// Why record `seq` came out as it did: {"record", "cell_name", "verdict", "rule", …, "trials",
// "change", "notes"} (docs/api.md). The verdict and rule are those recorded; the losing rules and
// the change come from judging the request again under the profile texts that the cell started
// with, and a note says where that cannot be exact. Nothing: no such record.
Result<std::optional<nlohmann::json>> ExplainRecord(journal::Reader& reader, std::uint64_t seq);

}  // namespace cellrun::http
