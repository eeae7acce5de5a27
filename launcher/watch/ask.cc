// SPDX-License-Identifier: Apache-2.0
#include "launcher/watch/ask.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "launcher/watch/line_editor.h"

namespace cellrun::watch {
namespace {

using nlohmann::json;

// What is not UTF-8 comes as text::Escape writes it, and is named in `escaped`.
std::string Unescape(const std::string& escaped) {
  std::string line = "\"";
  for (const char c : escaped) {
    if (c == '"') line += '\\';
    line += c;
  }
  const auto words = ParseArguments(line + '"');
  return words && words->size() == 1 ? words->front() : escaped;
}

// Reads fields of one object; remembers whether one had the wrong type.
class Reader {
 public:
  explicit Reader(const json& object) : object_(object) {
    const json* names = Find("escaped");
    if (names == nullptr || !names->is_array()) return;
    for (const json& name : *names) {
      if (name.is_string()) escaped_.insert(name.get<std::string>());
    }
  }
  [[nodiscard]] bool good() const { return good_; }

  std::string Text(const char* name) {
    const json* value = Find(name);
    if (value == nullptr) return "";
    if (!value->is_string()) return Wrong<std::string>();
    return Raw(name, value->get<std::string>());
  }
  std::uint64_t Number(const char* name, std::uint64_t otherwise = 0) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_number_integer()) return Wrong<std::uint64_t>();
    return value->is_number_unsigned() ? value->get<std::uint64_t>() : 0;
  }
  bool Flag(const char* name, bool otherwise) {
    const json* value = Find(name);
    if (value == nullptr) return otherwise;
    if (!value->is_boolean()) return Wrong<bool>();
    return value->get<bool>();
  }
  std::vector<std::string> Texts(const char* name) {
    const json* value = Find(name);
    std::vector<std::string> texts;
    if (value == nullptr) return texts;
    if (!value->is_array()) return Wrong<std::vector<std::string>>();
    for (const json& element : *value) {
      if (!element.is_string()) return Wrong<std::vector<std::string>>();
      texts.push_back(Raw(std::string(name) + "[" + std::to_string(texts.size()) + "]",
                          element.get<std::string>()));
    }
    return texts;
  }
  // Of an object below; an empty one where there is none.
  const json& Object(const char* name) {
    static const json kNone = json::object();
    const json* value = Find(name);
    if (value == nullptr) return kNone;
    if (value->is_object()) return *value;
    good_ = false;
    return kNone;
  }
  const json* Find(const char* name) const {
    const auto found = object_.find(name);
    return found == object_.end() || found->is_null() ? nullptr : &*found;
  }
  template <typename T>
  T Wrong() {
    good_ = false;
    return T{};
  }

 private:
  std::string Raw(const std::string& name, std::string text) const {
    return escaped_.contains(name) ? Unescape(text) : std::move(text);
  }
  const json& object_;
  std::set<std::string> escaped_;
  bool good_ = true;
};

bool ReadEnvironment(const json* changes, std::vector<EnvironmentChange>& environment) {
  if (changes == nullptr) return true;
  if (!changes->is_array()) return false;
  for (const json& change : *changes) {
    if (!change.is_object()) return false;
    Reader reader(change);
    EnvironmentChange read{.name = reader.Text("name"), .before = {}, .after = {}};
    if (reader.Find("before") != nullptr) read.before = reader.Text("before");
    if (reader.Find("after") != nullptr) read.after = reader.Text("after");
    if (!reader.good()) return false;
    environment.push_back(std::move(read));
  }
  return true;
}

bool ReadOrigin(Reader& reader, Ask& ask) {
  Reader rule(reader.Object("rule"));
  ask.rule_name = rule.Text("name");
  ask.rule_file = rule.Text("file");
  ask.rule_line = rule.Number("line");
  Reader answer(reader.Object("answer"));
  ask.answered_by = answer.Text("by");
  ask.answer_reason = answer.Text("reason");
  return rule.good() && answer.good();
}

void ReadCommand(Reader& reader, Ask& ask) {
  ask.strategy = reader.Text("strategy");
  ask.program = reader.Text("exe");
  ask.image_hash = reader.Text("image_hash");
  ask.chain = reader.Texts("chain");
  ask.writable = reader.Flag("writable", true);
  ask.argv = reader.Texts("argv");
  ask.argv_bytes = reader.Number("argv_bytes");
  ask.argv_cut = reader.Flag("argv_cut", false);
  ask.original_argv = reader.Texts("original_argv");
  ask.script_copy = reader.Text("script_copy");
  ask.script_hash = reader.Text("script_hash");
}

}  // namespace

std::optional<Ask> AskFromJson(const json& object) {
  if (!object.is_object()) return std::nullopt;
  Reader reader(object);
  Ask ask;
  ask.id = reader.Text("id");
  ask.state = reader.Text("state");
  ask.digest = reader.Text("digest");
  ask.cell = reader.Text("cell");
  ask.profile = reader.Text("profile");
  ask.workspace = reader.Text("workspace");
  ask.pid = static_cast<std::int64_t>(reader.Number("pid"));
  ask.waiting = reader.Number("waiting", 1);
  ask.parents = reader.Texts("parent");
  ask.cwd = reader.Text("cwd");
  ReadCommand(reader, ask);
  ask.reason = reader.Text("reason");
  ask.risks = reader.Texts("risk");
  ask.said_by_cell = reader.Text("said_by_cell");
  ask.left = std::chrono::milliseconds(reader.Number("left_ms"));
  ask.on_timeout = reader.Text("on_timeout");
  ask.approvers = reader.Number("approvers", 1);
  ask.approved_by = reader.Texts("approved_by");
  ask.rememberable = reader.Flag("rememberable", true);
  const bool named = !ask.id.empty() && std::all_of(ask.id.begin(), ask.id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-';
  });
  const bool complete =
      ReadOrigin(reader, ask) && ReadEnvironment(reader.Find("env"), ask.environment);
  if (!complete || !reader.good() || !named || ask.digest.empty()) return std::nullopt;
  return ask;
}

}  // namespace cellrun::watch
