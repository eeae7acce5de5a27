// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/source.h"

namespace cellrun::policy {

struct YamlEntry;

// A YAML document as a tree that knows where everything stands. No anchors, aliases, tags,
// directives or second documents; keys are scalars and stand once; at most kMaxProfileDepth levels.
struct YamlNode {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  bool quoted = false;  // a scalar in quotes or a block scalar: text, whatever it looks like
  int line = 0;         // from 1
  int column = 0;       // from 1, in characters
  std::string text;     // of a scalar, unescaped
  std::vector<YamlNode> items;     // of a list
  std::vector<YamlEntry> entries;  // of a map, in document order

  // Null if there is no such key. Linear: for maps whose keys are few.
  [[nodiscard]] const YamlNode* Find(std::string_view key) const;
};

struct YamlEntry {
  std::string key;
  int line = 0;
  int column = 0;
  YamlNode value;
};

// What an unquoted scalar means in YAML 1.2's core schema. `no`, `on` and `010` are text, text and
// ten.
enum class PlainMeaning : std::uint8_t { kText, kBoolean, kInteger, kFloat };
PlainMeaning MeaningOf(const YamlNode& scalar);

// Reads one document. `root` is complete, even with problems, so that more can be found; where
// reading ended early it is empty (kNull). Never throws, takes linear time and bounded stack for
// any bytes.
std::vector<Problem> ReadYaml(const Source& source, YamlNode* root);

}  // namespace cellrun::policy
