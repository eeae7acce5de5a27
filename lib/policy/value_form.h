// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/policy/schema.h"

namespace cellrun::policy {

// Whether a text has the form of a type, apart from ranges and choices: nothing if so, else what is
// wrong ("" where the type's own description says enough).
std::optional<std::string> FormProblem(Type type, const std::string& text);

}  // namespace cellrun::policy
