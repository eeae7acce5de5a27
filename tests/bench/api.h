// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace cellrun::bench {

// One request on the socket of the broker that serves the bench; the body of its answer, "" where
// there is none.
std::string Call(const std::string& method, const std::string& target, const std::string& body);

// What waits for a person, oldest first.
std::vector<nlohmann::json> PendingAsks();
bool AnythingIsAsked();

// False: it was not taken.
bool Answer(const nlohmann::json& ask, const char* verdict);

}  // namespace cellrun::bench
