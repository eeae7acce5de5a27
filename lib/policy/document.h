// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/profile.h"
#include "lib/policy/source.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::policy {

// A reference to something that another document may define.
struct Reference {
  std::string name;
  Position at;
};

// What one document says, and nothing else: a Placed value whose line is 0 is not said.
struct Document {
  Layer layer = Layer::kProfile;
  Position at;
  Profile values;
  std::vector<Reference> extends;
  std::vector<Reference> groups, secrets;  // used by rules and tools
  // Lists of which the nearest wins, also when it is empty: where they stand, or line 0.
  Position noexec, publish, dns_upstream, environment_drop;
};

// Turns a tree that CheckAgainstSchema has passed into values, with paths made absolute. Problems:
// combinations that make no sense.
std::vector<Problem> ReadDocument(const Source& source, const YamlNode& root, const Places& places,
                                  Document* document);

}  // namespace cellrun::policy
