// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cellrun::history {

// An explanation (docs/api.md) for a person: what was asked, what decided, which rules lost and
// why, the smallest change. The same for a record and for a command that was not run.
std::string ExplanationText(const nlohmann::json& explanation, bool color);

}  // namespace cellrun::history
