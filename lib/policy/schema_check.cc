// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/schema_check.h"

#include <utility>

#include "lib/base/text.h"
#include "lib/policy/pattern.h"
#include "lib/policy/schema.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

// Enough to choose the twenty that are shown.
constexpr std::size_t kManyProblems = 100;
constexpr std::size_t kMostExpressions = 128;

class Checker {
 public:
  explicit Checker(const Source& source) : source_(source) {}

  void Root(const YamlNode& root) {
    if (root.kind != YamlNode::Kind::kMap) {
      return Note(root, KindName(root), "a map of keys: cellrun, name, commands, …");
    }
    Children(KeyTree(), root);
  }
  std::vector<Problem> Take() { return std::move(problems_); }

 private:
  static const char* KindName(const YamlNode& node) {
    switch (node.kind) {
      case YamlNode::Kind::kNull:
        return "nothing";
      case YamlNode::Kind::kScalar:
        return "a single value";
      case YamlNode::Kind::kList:
        return "a list";
      case YamlNode::Kind::kMap:
        return "a map";
    }
    return "";
  }

  [[nodiscard]] bool Enough() const { return problems_.size() >= kManyProblems; }

  void NoteAt(int line, int column, std::string what, std::string expected,
              std::string suggest = "") {
    problems_.push_back(
        {{source_.origin, line, column}, std::move(what), std::move(expected), std::move(suggest)});
  }
  void Note(const YamlNode& node, std::string what, std::string expected) {
    NoteAt(node.line, node.column, std::move(what), std::move(expected));
  }
  void NoteFor(const Key& key, const YamlNode& node, const std::string& what,
               std::string expected) {
    Note(node, std::string(key.path) + ": " + what, std::move(expected));
  }

  void UnknownKey(const KeyNode& parent, const YamlEntry& entry) {
    std::string expected = "one of: ";
    for (const KeyNode& child : parent.children) {
      expected += (&child == &parent.children.front() ? "" : ", ") + std::string(child.name);
    }
    const char* where = parent.key == nullptr ? "" : parent.key->path;
    NoteAt(entry.line, entry.column,
           entry.key == "<<" ? "a merge key (<<)"
                             : "unknown key '" + text::EscapeShort(entry.key, 80) + "'" +
                                   (*where == '\0' ? "" : " in " + std::string(where)),
           expected, NearestKey(parent, entry.key));
  }

  // Says so for the outermost such key only.
  bool RefuseStanding(const Key& key, const YamlEntry& entry) {
    if (source_.layer == Layer::kFloor && key.floor == Standing::kNo) {
      NoteAt(entry.line, entry.column,
             "'" + std::string(key.path) + "' cannot stand in a floor document",
             "only what restricts: rules, defaults, limits, hide, protect, noexec, require");
      return true;
    }
    if (source_.layer == Layer::kWorkspace && key.workspace == Standing::kNo) {
      NoteAt(entry.line, entry.column,
             "'" + std::string(key.path) + "' cannot be set by a file in the workspace",
             "only what narrows, unless you read this file and ran `cellrun trust`");
      return true;
    }
    return false;
  }

  void Children(const KeyNode& parent, const YamlNode& map) {
    for (const YamlEntry& entry : map.entries) {
      if (Enough()) return;
      const KeyNode* child = parent.Find(entry.key);
      if (child == nullptr) {
        UnknownKey(parent, entry);
      } else if (!RefuseStanding(*child->key, entry)) {
        Value(*child, entry.value);
      }
    }
    for (const KeyNode& child : parent.children) {
      if (child.key->required && map.Find(child.name) == nullptr) {
        const bool section = child.key->shape == Shape::kSection;
        Note(map, "missing key '" + std::string(child.name) + "'",
             section ? "a map of keys" : ExpectedValue(*child.key));
      }
    }
  }

  void Value(const KeyNode& node, const YamlNode& value) {
    const Key& key = *node.key;
    switch (key.shape) {
      case Shape::kSection:
        return Section(node, value);
      case Shape::kSectionList:
        return SectionList(node, value);
      case Shape::kScalar:
        return Scalar(key, value);
      case Shape::kList:
        return List(key, value, key.not_empty);
      case Shape::kOneOrList:
        return value.kind == YamlNode::Kind::kList ? List(key, value, true) : Scalar(key, value);
      case Shape::kNamed:
      case Shape::kNamedLists:
      case Shape::kNamedOneOrList:
        return Named(key, value);
    }
  }

  void Section(const KeyNode& node, const YamlNode& value) {
    if (value.kind != YamlNode::Kind::kMap) {
      return NoteFor(*node.key, value, KindName(value), "a map of keys");
    }
    if (node.key->not_empty && value.entries.empty()) {
      return NoteFor(*node.key, value, "an empty map", "at least one key");
    }
    Children(node, value);
  }

  void SectionList(const KeyNode& node, const YamlNode& value) {
    if (value.kind != YamlNode::Kind::kList) {
      return NoteFor(*node.key, value, KindName(value), "a list of maps");
    }
    for (const YamlNode& item : value.items) {
      if (Enough()) return;
      if (item.kind != YamlNode::Kind::kMap) {
        NoteFor(*node.key, item, KindName(item), "a map of keys");
      } else {
        Children(node, item);
      }
    }
  }

  void List(const Key& key, const YamlNode& value, bool not_empty) {
    if (value.kind != YamlNode::Kind::kList) {
      return NoteFor(key, value, KindName(value), "a list");
    }
    if (not_empty && value.items.empty()) {
      return NoteFor(key, value, "an empty list", "at least one entry");
    }
    for (const YamlNode& item : value.items) {
      if (Enough()) return;
      Scalar(key, item);
    }
  }

  void Named(const Key& key, const YamlNode& value) {
    if (value.kind != YamlNode::Kind::kMap) {
      return NoteFor(key, value, KindName(value), "a map of names");
    }
    if (key.not_empty && value.entries.empty()) {
      return NoteFor(key, value, "an empty map", "at least one name");
    }
    for (const YamlEntry& entry : value.entries) {
      if (Enough()) return;
      Name(key, entry);
      const bool list = entry.value.kind == YamlNode::Kind::kList;
      if (key.shape == Shape::kNamedLists || (key.shape == Shape::kNamedOneOrList && list)) {
        List(key, entry.value, key.shape == Shape::kNamedOneOrList);
      } else {
        Scalar(key, entry.value);
      }
    }
  }

  void Name(const Key& key, const YamlEntry& entry) {
    Key name = key;
    name.type = key.names;
    YamlNode node;
    node.kind = YamlNode::Kind::kScalar;
    node.quoted = true;
    node.text = entry.key;
    node.line = entry.line;
    node.column = entry.column;
    Scalar(name, node);
  }

  // Compiling one can take milliseconds, so a document of nothing else would stall whoever loads
  // it.
  bool RefuseExpression(const Key& key, const YamlNode& value) {
    if (!value.text.starts_with(kRegexPrefix) || ++expressions_ <= kMostExpressions) return false;
    if (expressions_ == kMostExpressions + 1) {
      NoteFor(key, value, "one regular expression too many",
              "at most " + std::to_string(kMostExpressions) + " in a document");
    }
    return true;
  }

  void Scalar(const Key& key, const YamlNode& value) {
    if (RefuseExpression(key, value)) return;
    std::optional<ValueProblem> problem = CheckScalar(key, value);
    if (!problem) return;
    NoteAt(value.line, value.column, std::string(key.path) + ": " + problem->what,
           std::move(problem->expected), std::move(problem->suggest));
  }

  const Source& source_;
  std::vector<Problem> problems_;
  std::size_t expressions_ = 0;
};

}  // namespace

std::vector<Problem> CheckAgainstSchema(const Source& source, const YamlNode& root) {
  Checker checker(source);
  checker.Root(root);
  return checker.Take();
}

}  // namespace cellrun::policy
