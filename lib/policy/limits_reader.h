// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/policy/field_reader.h"
#include "lib/policy/profile.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::policy {

// `limits` of a cell, of a rule's ghost, and of a tool.
void ReadLimits(const FieldReader& reader, const YamlNode& map, Limits* limits);

}  // namespace cellrun::policy
