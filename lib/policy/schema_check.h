// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/source.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::policy {

// Walks a document along the key table: unknown and missing keys, shapes, types, ranges, choices,
// and keys that a document of this layer may not contain. After an empty answer every value that
// the table describes has the type it says.
std::vector<Problem> CheckAgainstSchema(const Source& source, const YamlNode& root);

}  // namespace cellrun::policy
