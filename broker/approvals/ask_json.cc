// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/ask_json.h"

#include <algorithm>
#include <string_view>

#include "broker/journal/encode.h"
#include "broker/journal/json_text.h"

namespace cellrun::approvals {
namespace {

using journal::JsonText;

constexpr std::size_t kListArgumentBytes = 4096;

void WriteTexts(JsonText& json, std::string_view name, const std::vector<std::string>& texts) {
  json.OpenList(name);
  for (const std::string& text : texts) json.Item(text);
  json.CloseList();
}

void WriteHash(JsonText& json, std::string_view name, const std::string& hex) {
  json.Text(name, hex.empty() ? "" : "sha256:" + hex);
}

// At most so many bytes of them, cut at a character; whether something is missing.
bool WriteShort(JsonText& json, std::string_view name, const std::vector<std::string>& texts) {
  json.OpenList(name);
  std::size_t left = kListArgumentBytes;
  bool cut = false;
  for (const std::string& text : texts) {
    if (text.size() <= left) {
      json.Item(text);
      left -= text.size();
      continue;
    }
    std::size_t end = left;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80) --end;
    if (end > 0) json.Item(std::string_view(text).substr(0, end));
    cut = true;
    break;
  }
  json.CloseList();
  return cut;
}

void WriteArguments(JsonText& json, const Ask& ask, Detail detail) {
  std::size_t bytes = 0;
  for (const std::string& argument : ask.argv) bytes += argument.size() + 1;
  bool cut = false;
  if (detail == Detail::kWhole) {
    WriteTexts(json, "argv", ask.argv);
    WriteTexts(json, "original_argv", ask.original_argv);
  } else {
    cut = WriteShort(json, "argv", ask.argv);
    cut = WriteShort(json, "original_argv", ask.original_argv) || cut;
  }
  json.Number("argv_bytes", std::uint64_t{bytes});
  if (cut) json.Boolean("argv_cut", true);
}

void WriteVariable(JsonText& json, std::string_view name, bool set, const std::string& value,
                   Detail detail) {
  if (!set) return json.Raw(name, "null");
  json.Text(name, detail == Detail::kWhole || value.size() <= kListArgumentBytes
                      ? value
                      : std::to_string(value.size()) + " bytes");
}

void WriteEnvironment(JsonText& json, const Ask& ask, Detail detail) {
  std::string list = "[";
  for (const EnvironmentChange& change : ask.environment) {
    JsonText one;
    one.Text("name", change.name);
    WriteVariable(one, "before", change.was_set, change.before, detail);
    WriteVariable(one, "after", change.is_set, change.after, detail);
    if (list.size() > 1) list += ',';
    list += one.Finish();
  }
  json.Raw("env", list + "]");
}

void WriteRule(JsonText& json, const policy::RuleReference& rule) {
  json.OpenObject("rule");
  json.Text("name", rule.name);
  json.Text("layer", policy::LayerName(rule.layer));
  json.Text("file", rule.at.file);
  json.Number("line", std::int64_t{rule.at.line});
  json.CloseObject();
}

void WriteAnswer(JsonText& json, const Answered& answer) {
  json.OpenObject("answer");
  json.Text("by", answer.by);
  json.Text("at", journal::FormatTime(answer.at));
  json.Text("scope", ScopeName(answer.scope));
  json.Text("reason", answer.reason);
  json.Boolean("edited", answer.edited);
  json.Number("after_ms", std::int64_t{answer.after.count()});
  json.CloseObject();
}

void WriteCommand(JsonText& json, const Ask& ask, Detail detail) {
  json.Number("pid", std::int64_t{ask.pid});
  WriteTexts(json, "parent", ask.parents);
  json.Text("cwd", ask.cwd);
  json.Text("strategy", policy::StrategyName(ask.strategy));
  json.Text("exe", ask.program);
  WriteTexts(json, "chain", ask.chain);
  WriteHash(json, "image_hash", ask.image_hash);
  json.Boolean("writable", ask.writable);
  WriteArguments(json, ask, detail);
  WriteEnvironment(json, ask, detail);
  WriteHash(json, "env_digest", ask.environment_digest);
  json.Text("script_copy", ask.script_copy);
  WriteHash(json, "script_hash", ask.script_hash);
}

void WriteWhere(JsonText& json, const Ask& ask) {
  json.Text("cell", ask.cell_name);
  json.Text("cell_id", ask.cell_id);
  json.Text("profile", ask.profile);
  json.Text("workspace", ask.workspace);
}

void WriteWhy(JsonText& json, const Ask& ask) {
  WriteRule(json, ask.rule);
  json.Text("reason", ask.reason);
  WriteTexts(json, "risk", ask.risks);
  json.Text("said_by_cell", ask.said_by_cell);
  json.Text("on_timeout", policy::ActionName(ask.on_timeout));
  json.Number("approvers", std::int64_t{ask.approvers});
}

}  // namespace

std::string ShownJson(const Ask& ask) {
  JsonText json;
  WriteWhere(json, ask);
  WriteCommand(json, ask, Detail::kWhole);
  WriteWhy(json, ask);
  json.Boolean("rememberable", ask.rememberable);
  return json.Finish();
}

std::string AskJson(const Entry& entry, Detail detail, std::chrono::steady_clock::time_point now) {
  const Ask ask = *entry.ask;
  const bool pending = entry.state == State::kPending;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(entry.deadline - now);
  JsonText json;
  json.Text("id", entry.id);
  WriteWhere(json, ask);
  json.Text("state", StateName(entry.state));
  json.Text("created", journal::FormatTime(entry.created));
  json.Text("expires", journal::FormatTime(entry.expires));
  json.Number("left_ms", pending ? std::max<std::int64_t>(0, left.count()) : std::int64_t{0});
  WriteHash(json, "digest", entry.digest);
  json.Number("waiting", pending ? std::uint64_t{entry.waiters.size()} : std::uint64_t{0});
  WriteCommand(json, ask, detail);
  WriteWhy(json, ask);
  json.OpenList("approved_by");
  for (const Approver& approver : entry.approved_by) json.Item(approver.ToString());
  json.CloseList();
  json.Boolean("rememberable", ask.rememberable);
  if (entry.answer != nullptr) WriteAnswer(json, *entry.answer);
  return json.Finish();
}

}  // namespace cellrun::approvals
