// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/json_schema.h"

#include <nlohmann/json.hpp>
#include <string>

#include "lib/policy/schema.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

using Json = nlohmann::ordered_json;

Json Value(const KeyNode& node);

// What one scalar may be.
Json Scalar(const Key& key) {
  Json schema;
  switch (key.type) {
    case Type::kBoolean:
      return {{"type", "boolean"}};
    case Type::kInteger:
    case Type::kNumber:
      schema["type"] = key.type == Type::kInteger ? "integer" : "number";
      if (key.max > 0) {
        schema["minimum"] = key.min;
        schema["maximum"] = key.max;
      }
      if (key.type == Type::kInteger && key.max > 0) {
        schema["minimum"] = static_cast<std::int64_t>(key.min);
        schema["maximum"] = static_cast<std::int64_t>(key.max);
      }
      return schema;
    case Type::kChoice:
      schema["enum"] = Json::array();
      for (const std::string_view choice : Choices(key)) {
        schema["enum"].push_back(std::string(choice));
      }
      return schema;
    case Type::kPorts:
    case Type::kPublish:
    case Type::kUser:
    case Type::kUserName:
      schema["type"] = {"string", "integer"};
      return schema;
    case Type::kGlobOrNull:
      schema["type"] = {"string", "null"};
      return schema;
    default:
      schema["type"] = "string";
      if (*InfoOf(key.type).json_pattern != '\0') schema["pattern"] = InfoOf(key.type).json_pattern;
      return schema;
  }
}

Json List(Json items, bool not_empty) {
  Json schema{{"type", "array"}, {"items", std::move(items)}};
  if (not_empty) schema["minItems"] = 1;
  return schema;
}

Json Section(const KeyNode& node, bool not_empty) {
  Json schema{{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
  Json required = Json::array();
  for (const KeyNode& child : node.children) {
    const std::string name(child.name);
    schema["properties"][name] = Value(child);
    if (child.key->required) required.push_back(name);
  }
  if (!required.empty()) schema["required"] = std::move(required);
  if (not_empty) schema["minProperties"] = 1;
  return schema;
}

Json Named(const Key& key, Json value) {
  Json schema{{"type", "object"},
              {"propertyNames", {{"pattern", InfoOf(key.names).json_pattern}}},
              {"additionalProperties", std::move(value)}};
  if (key.not_empty) schema["minProperties"] = 1;
  return schema;
}

Json Shaped(const KeyNode& node) {
  const Key& key = *node.key;
  switch (key.shape) {
    case Shape::kSection:
      return Section(node, key.not_empty);
    case Shape::kSectionList:
      return List(Section(node, false), key.not_empty);
    case Shape::kScalar:
      return Scalar(key);
    case Shape::kList:
      return List(Scalar(key), key.not_empty);
    case Shape::kOneOrList:
      return {{"anyOf", Json::array({Scalar(key), List(Scalar(key), true)})}};
    case Shape::kNamed:
      return Named(key, Scalar(key));
    case Shape::kNamedLists:
      return Named(key, List(Scalar(key), false));
    case Shape::kNamedOneOrList:
      return Named(key, {{"anyOf", Json::array({Scalar(key), List(Scalar(key), true)})}});
  }
  return Json::object();
}

// What an editor shows when the pointer rests on the key.
std::string Description(const Key& key) {
  std::string text = key.meaning;
  const bool leaf = key.shape != Shape::kSection && key.shape != Shape::kSectionList;
  if (leaf) text += "\nValue: " + ExpectedValue(key) + ".";
  if (*key.standard != '\0') text += std::string("\nDefault: ") + key.standard + ".";
  if (*key.risk != '\0') text += std::string("\nRisk: ") + key.risk;
  return text;
}

// Only what JSON can write as the key's own type.
void AddDefault(const Key& key, Json* schema) {
  if (*key.standard == '\0' || key.shape != Shape::kScalar) return;
  if (key.type == Type::kInteger) {
    (*schema)["default"] = static_cast<std::int64_t>(IntegerValue(key.standard));
  } else if (key.type != Type::kPathPattern) {
    (*schema)["default"] = key.standard;
  }
}

Json Value(const KeyNode& node) {
  Json schema{{"description", Description(*node.key)}};
  schema.update(Shaped(node));
  AddDefault(*node.key, &schema);
  return schema;
}

}  // namespace

std::string JsonSchema() {
  Json schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"},
              {"title", "cellrun profile"},
              {"description", "A cellrun profile, format version 1: cellrun-profile(5)."}};
  schema.update(Section(KeyTree(), false));
  return schema.dump(2) + "\n";
}

}  // namespace cellrun::policy
