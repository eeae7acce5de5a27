// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace cellrun::policy {

// A tree whose leaves are {"value", "origin", "layer"} (or plain values) as YAML with the origins
// as comments.
std::string ShowAsText(const nlohmann::ordered_json& shown);

}  // namespace cellrun::policy
