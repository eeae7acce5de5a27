// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/show_text.h"

#include <nlohmann/json.hpp>

#include "lib/base/text.h"
#include "lib/policy/units.h"
#include "lib/policy/yaml_text.h"

namespace cellrun::policy {
namespace {

using Json = nlohmann::ordered_json;

// A map of free names may hold these keys too, but never with a text behind them.
bool IsLeaf(const Json& node) {
  return node.is_object() && node.contains("value") && node.contains("origin") &&
         node["origin"].is_string() && node.contains("layer") && node["layer"].is_string();
}

// "# strict.yaml:12", with the layer where it is not simply the profile or what it extends.
std::string Comment(const Json& leaf) {
  const std::string origin = leaf["origin"], layer = leaf["layer"];
  std::string comment = "  # " + text::Escape(origin);
  if (layer != "profile" && layer != "inherited" && layer != "default") {
    comment += " (" + layer + ")";
  }
  return comment;
}

// "2G", "100s": text to YAML although it begins with a digit.
bool IsAmount(const std::string& text) {
  const bool has_unit = !text.empty() && (text.back() < '0' || text.back() > '9');
  return has_unit && (ParseSize(text) || ParseDuration(text));
}

// On one line: [a, b], {k: v}.
std::string Flow(const Json& value) {
  if (value.is_string()) {
    const std::string& text = value.get_ref<const std::string&>();
    return IsAmount(text) ? text : YamlScalar(text);
  }
  if (!value.is_structured()) return value.dump();
  std::string text;
  for (const auto& [key, item] : value.items()) {
    if (!text.empty()) text += ", ";
    text += value.is_object() ? YamlScalar(key) + ": " + Flow(item) : Flow(item);
  }
  return value.is_object() ? "{" + text + "}" : "[" + text + "]";
}

class Writer {
 public:
  // The members of a map, each on its line or lines.
  void Map(const Json& map, std::size_t indent) {
    for (const auto& [key, value] : map.items()) {
      const std::string head = std::string(indent, ' ') + YamlScalar(key) + ":";
      if (IsLeaf(value)) {
        text_ += head + " " + Flow(value["value"]) + Comment(value) + "\n";
      } else if (value.is_object()) {
        text_ += head + "\n";
        Map(value, indent + 2);
      } else if (value.is_array() && !value.empty() && IsLeaf(value[0])) {
        text_ += head + "\n";
        List(value, indent + 2);
      } else {
        text_ += head + " " + Flow(value) + "\n";
      }
    }
  }

  std::string Take() { return std::move(text_); }

 private:
  void List(const Json& list, std::size_t indent) {
    for (const Json& leaf : list) {
      const Json& value = leaf["value"];
      std::string head = std::string(indent, ' ') + "- ";
      if (!value.is_object()) {
        text_ += head + Flow(value) + Comment(leaf) + "\n";
        continue;
      }
      // The origin stands behind the first key.
      std::string comment = Comment(leaf);
      for (const auto& [key, item] : value.items()) {
        text_ += head + YamlScalar(key) + ": " + Flow(item) + comment + "\n";
        head = std::string(indent + 2, ' ');
        comment.clear();
      }
    }
  }

  std::string text_;
};

}  // namespace

std::string ShowAsText(const Json& shown) {
  Writer writer;
  writer.Map(shown, 0);
  return writer.Take();
}

}  // namespace cellrun::policy
