// SPDX-License-Identifier: Apache-2.0
// The one file that knows yaml-cpp. Its Node API keeps the first of two equal keys in silence and
// loses positions; its events lose nothing. Its parser recurses for each level, but reports the
// level before it descends: throwing from the event bounds the stack.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <streambuf>

#include "lib/base/text.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::policy {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
// Enough to choose the twenty that are shown.
constexpr std::size_t kManyProblems = 100;

// Ends the reading; what is wrong is already noted.
class Stop : public std::exception {};

class MemoryBuffer : public std::streambuf {
 public:
  explicit MemoryBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // NOLINT: streambuf reads only
    setg(begin, begin, begin + text.size());
  }
};

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const Source& source, std::string_view text, YamlNode* root,
              std::vector<Problem>* problems)
      : source_(source), text_(text), root_(root), problems_(problems) {
    IndexLines();
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (documents_++ == 0) return;
    Note(mark, "a second document", "one document a file");
    throw Stop();
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    RefuseProperties(mark, "", anchor);
    if (ExpectsKey()) {
      Note(mark, "an empty key", "a name before the colon");
      throw Stop();
    }
    Add(mark, YamlNode::Kind::kNull);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    Note(mark, "an alias (*…)", "the value itself: aliases are not part of the profile format");
    throw Stop();
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    RefuseProperties(mark, tag, anchor);
    RefuseContent(mark, value);
    if (ExpectsKey()) {
      AddKey(mark, value);
      return;
    }
    YamlNode* node = Add(mark, YamlNode::Kind::kScalar);
    node->quoted = tag == "!";
    node->text = value;
    RefuseOpenQuote(mark);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { open_.pop_back(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(mark, tag, anchor, YamlNode::Kind::kMap);
  }
  void OnMapEnd() override {
    RefuseDuplicates(*open_.back().node);
    open_.pop_back();
  }

  void NoteSyntax(const YAML::Exception& error) {
    Note(error.mark, "not valid YAML: " + text::EscapeShort(error.msg, 200), "");
  }
  [[nodiscard]] bool empty() const { return documents_ == 0; }

 private:
  struct Level {
    YamlNode* node;
    bool has_key = false;  // of a map: its last entry waits for a value
  };

  void IndexLines() {
    line_starts_.push_back(0);
    for (std::size_t at = text_.find('\n'); at != std::string_view::npos;
         at = text_.find('\n', at + 1)) {
      line_starts_.push_back(at + 1);
    }
    ascii_ = std::none_of(text_.begin(), text_.end(), [](char c) { return (c & '\x80') != '\0'; });
  }

  // yaml-cpp counts bytes; people count characters.
  [[nodiscard]] int Column(const YAML::Mark& mark) const {
    const std::size_t bytes = mark.column > 0 ? static_cast<std::size_t>(mark.column) : 0;
    const std::size_t line = mark.line > 0 ? static_cast<std::size_t>(mark.line) : 0;
    if (ascii_ || line >= line_starts_.size()) return static_cast<int>(bytes) + 1;
    const std::string_view before = text_.substr(line_starts_[line], bytes);
    const auto characters =
        std::count_if(before.begin(), before.end(), [](char c) { return (c & '\xC0') != '\x80'; });
    return static_cast<int>(characters) + 1;
  }

  void Note(const YAML::Mark& mark, std::string what, std::string expected) {
    problems_->push_back({{source_.origin, std::max(mark.line, 0) + 1, Column(mark)},
                          std::move(what),
                          std::move(expected),
                          ""});
    if (problems_->size() >= kManyProblems) throw Stop();
  }

  [[nodiscard]] bool ExpectsKey() const {
    return !open_.empty() && open_.back().node->kind == YamlNode::Kind::kMap &&
           !open_.back().has_key;
  }

  void RefuseProperties(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    const auto at = static_cast<std::size_t>(mark.pos);
    const char first = at < text_.size() ? text_[at] : '\0';
    if (anchor != 0) {
      Note(mark, "an anchor (&…)", "no anchors: they are not part of the profile format");
    }
    // The tag "!" is also what yaml-cpp calls a quoted scalar; only the text tells them apart.
    if ((tag != "?" && tag != "!" && !tag.empty()) || first == '!') {
      Note(mark, "a tag (!…)", "no tags: the format knows the type of each key");
    }
  }

  void RefuseContent(const YAML::Mark& mark, const std::string& value) {
    if (value.find('\0') != std::string::npos) Note(mark, "a NUL character", "text without it");
    if (!text::IsUtf8(value)) Note(mark, "text that is not UTF-8", "valid characters");
  }

  // yaml-cpp takes a quoted scalar for complete when the file ends after a line break in it.
  void RefuseOpenQuote(const YAML::Mark& mark) {
    auto at = static_cast<std::size_t>(mark.pos);
    if (at >= text_.size() || (text_[at] != '"' && text_[at] != '\'')) return;
    const char quote = text_[at];
    for (++at; at < text_.size(); ++at) {
      if (quote == '"' && text_[at] == '\\') {
        ++at;
      } else if (text_[at] == quote) {
        if (quote == '"' || at + 1 >= text_.size() || text_[at + 1] != quote) return;
        ++at;  // '' inside single quotes
      }
    }
    Note(mark, "a quoted text that does not end", "a closing quote");
  }

  void RefuseDuplicates(const YamlNode& map) {
    std::vector<const YamlEntry*> sorted;
    sorted.reserve(map.entries.size());
    for (const YamlEntry& entry : map.entries) sorted.push_back(&entry);
    // Stable: of equal keys the first in the document stays first.
    std::stable_sort(sorted.begin(), sorted.end(),
                     [](const YamlEntry* a, const YamlEntry* b) { return a->key < b->key; });
    for (std::size_t i = 1; i < sorted.size(); ++i) {
      if (sorted[i]->key != sorted[i - 1]->key) continue;
      problems_->push_back(
          {{source_.origin, sorted[i]->line, sorted[i]->column},
           "duplicate key '" + text::EscapeShort(sorted[i]->key, 80) + "'",
           "each key once; it is already in line " + std::to_string(sorted[i - 1]->line),
           ""});
      if (problems_->size() >= kManyProblems) throw Stop();
    }
  }

  YamlNode* Add(const YAML::Mark& mark, YamlNode::Kind kind) {
    YamlNode* node = root_;
    if (!open_.empty()) {
      Level& level = open_.back();
      if (level.node->kind == YamlNode::Kind::kMap) {
        node = &level.node->entries.back().value;
        level.has_key = false;
      } else {
        node = &level.node->items.emplace_back();
      }
    }
    node->kind = kind;
    node->line = std::max(mark.line, 0) + 1;
    node->column = Column(mark);
    return node;
  }

  void AddKey(const YAML::Mark& mark, const std::string& key) {
    YamlEntry& entry = open_.back().node->entries.emplace_back();
    entry.key = key;
    entry.line = std::max(mark.line, 0) + 1;
    entry.column = Column(mark);
    open_.back().has_key = true;
  }

  void Open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    RefuseProperties(mark, tag, anchor);
    if (ExpectsKey()) {
      Note(mark, "a list or map as a key", "a name");
      throw Stop();
    }
    if (open_.size() >= static_cast<std::size_t>(kMaxProfileDepth)) {
      Note(mark, "nested too deeply", "at most " + std::to_string(kMaxProfileDepth) + " levels");
      throw Stop();
    }
    // Pointers to open nodes stay valid: only the innermost one grows.
    open_.push_back({Add(mark, kind)});
  }

  const Source& source_;
  std::string_view text_;
  YamlNode* root_;
  std::vector<Problem>* problems_;
  std::vector<std::size_t> line_starts_;
  std::vector<Level> open_;
  bool ascii_ = true;
  int documents_ = 0;
};

// The position of a byte.
Position PositionOf(const Source& source, std::size_t at) {
  const std::string_view before = std::string_view(source.text).substr(0, at);
  const auto lines = std::count(before.begin(), before.end(), '\n');
  const std::size_t start = before.rfind('\n') + 1;  // npos + 1 is 0
  return {source.origin, static_cast<int>(lines) + 1, static_cast<int>(at - start) + 1};
}

// Characters that YAML forbids, and those that make a text read differently from what it says.
const char* RefusedCharacter(std::string_view text, std::size_t at) {
  const auto c = static_cast<unsigned char>(text[at]);
  if (c == 0x7F || (c < 0x20 && c != '\t' && c != '\n' && c != '\r')) return "a control character";
  if (c != 0xE2 || at + 2 >= text.size()) return nullptr;
  const auto second = static_cast<unsigned char>(text[at + 1]);
  const auto third = static_cast<unsigned char>(text[at + 2]);
  const bool embeds = second == 0x80 && third >= 0xAA && third <= 0xAE;    // U+202A to U+202E
  const bool isolates = second == 0x81 && third >= 0xA6 && third <= 0xA9;  // U+2066 to U+2069
  return embeds || isolates ? "a character that reorders the text around it" : nullptr;
}

std::optional<Problem> RefuseBytes(const Source& source) {
  if (source.text.size() > kMaxProfileBytes) {
    return Problem{{source.origin},
                   "a file of " + std::to_string(source.text.size()) + " bytes",
                   "at most " + std::to_string(kMaxProfileBytes),
                   ""};
  }
  if (!text::IsUtf8(source.text)) {
    std::size_t low = 0;  // longest valid prefix, to the line
    for (std::size_t end = source.text.find('\n'); end != std::string::npos;
         end = source.text.find('\n', end + 1)) {
      if (!text::IsUtf8(std::string_view(source.text).substr(low, end - low))) break;
      low = end + 1;
    }
    return Problem{PositionOf(source, low), "text that is not UTF-8", "UTF-8", ""};
  }
  for (std::size_t at = 0; at < source.text.size(); ++at) {
    const char* refused = RefusedCharacter(source.text, at);
    if (refused != nullptr) return Problem{PositionOf(source, at), refused, "plain text", ""};
  }
  return std::nullopt;
}

// %YAML and %TAG before the document; yaml-cpp applies them without an event.
std::optional<Problem> RefuseDirectives(const Source& source, std::string_view text) {
  std::size_t start = 0;
  while (start < text.size()) {
    const std::size_t end = std::min(text.find('\n', start), text.size());
    const std::string_view line = text.substr(start, end - start);
    if (line.starts_with('%')) {
      return Problem{PositionOf(source, start), "a YAML directive (%…)", "no directives", ""};
    }
    const std::size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#') break;
    start = end + 1;
  }
  return std::nullopt;
}

}  // namespace

std::vector<Problem> ReadYaml(const Source& source, YamlNode* root) {
  if (std::optional<Problem> problem = RefuseBytes(source)) return {*std::move(problem)};
  std::string_view text = source.text;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  if (std::optional<Problem> problem = RefuseDirectives(source, text)) {
    return {*std::move(problem)};
  }
  std::vector<Problem> problems;
  TreeBuilder builder(source, text, root, &problems);
  try {
    MemoryBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Stop&) {
    *root = {};  // what is wrong is already noted
  } catch (const YAML::Exception& error) {
    *root = {};
    builder.NoteSyntax(error);
  } catch (const std::exception& error) {
    *root = {};
    problems.push_back(
        {{source.origin}, std::string("cannot be read as YAML: ") + error.what(), "", ""});
  }
  if (problems.empty() && builder.empty()) {
    problems.push_back({{source.origin, 1, 1}, "an empty document", "a profile", ""});
  }
  return problems;
}

}  // namespace cellrun::policy
