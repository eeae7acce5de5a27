// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "lib/policy/profile.h"

namespace cellrun::policy {

// Rules and the like as a profile writes them, with only the keys that say something.
nlohmann::ordered_json RuleValue(const CommandRule& rule);
nlohmann::ordered_json RuleValue(const NetworkRule& rule);
nlohmann::ordered_json RuleValue(const SyscallRule& rule);
nlohmann::ordered_json LimitsValue(const Limits& limits);
nlohmann::ordered_json ToolValue(const Tool& tool);
nlohmann::ordered_json TestValue(const TestCase& test);

}  // namespace cellrun::policy
