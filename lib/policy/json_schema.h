// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace cellrun::policy {

// JSON Schema (draft 2020-12) of a profile document, from the key table: what editors complete and
// check with.
std::string JsonSchema();

}  // namespace cellrun::policy
