// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "lib/policy/profile.h"
#include "lib/policy/schema.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::policy {

// What is known about a Type: for checks, the schema and the documentation.
struct TypeInfo {
  Type type;
  const char* name;          // "duration"
  const char* expected;      // "a whole number and a unit: 100ms 30s 5m 2h 7d"
  const char* json_pattern;  // of a JSON string; "" for any or where JSON's own type says it all
};
const TypeInfo& InfoOf(Type type);

// What a value of the key looks like, in words: "a whole number, 1 to 16", "allow, ask, deny".
std::string ExpectedValue(const Key& key);

// What is wrong with a scalar as a value of `key`; nothing if it is fine.
struct ValueProblem {
  std::string what, expected, suggest;
};
std::optional<ValueProblem> CheckScalar(const Key& key, const YamlNode& node);

// The values of scalars that CheckScalar has passed.
std::uint64_t IntegerValue(const std::string& text);
double NumberValue(const std::string& text);
PublishedPort PublishedValue(const std::string& text);
// As a profile writes it.
std::string PublishedText(const PublishedPort& port);

// Built-in destination groups, without the '@'.
bool IsBuiltInGroup(std::string_view name);

}  // namespace cellrun::policy
