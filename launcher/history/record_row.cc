// SPDX-License-Identifier: Apache-2.0
#include "launcher/history/record_row.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "launcher/options/value.h"
#include "lib/base/text.h"

namespace cellrun::history {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

// Fields that the journal could only keep in escaped form: not to be escaped twice.
std::set<std::string> EscapedFields(const json& record) {
  std::set<std::string> names;
  const auto found = record.find("escaped");
  if (found == record.end() || !found->is_array()) return names;
  for (const json& name : *found) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  return names;
}

std::string Shown(const std::string& text, bool escaped) {
  return escaped ? text : text::Quote(text);
}

std::string ShownField(const json& record, const char* name) {
  return Shown(Text(record, name), EscapedFields(record).count(name) > 0);
}

std::string ConnectionOf(const json& record) {
  const json detail = record.value("detail", json::object());
  if (detail.is_object() && detail.value("inbound", false)) {
    return "inbound " + text::Quote(Text(detail, "from")) + " → " +
           (record.contains("port") ? record["port"].dump() : "");
  }
  const std::string name = Text(record, "name");
  std::string text = "connect " + text::Quote(name.empty() ? Text(record, "to") : name);
  if (record.contains("port")) text += ":" + record["port"].dump();
  if (!name.empty() && record.contains("to")) text += " (" + text::Quote(Text(record, "to")) + ")";
  return text;
}

std::string SyscallOf(const json& record) {
  std::string text = "system call " + text::Quote(Text(record, "name"));
  if (record.contains("count")) text += " ×" + record["count"].dump();
  return text;
}

std::string FileOf(const json& record) {
  std::string text = "file " + ShownField(record, "path");
  if (record.contains("to")) text += " → " + ShownField(record, "to");
  return text;
}

std::string WhatOf(const json& record) {
  const std::string kind = Text(record, "kind");
  if (record.contains("of")) return "↳ how record " + record["of"].dump() + " came out";
  if (kind == "connect") return ConnectionOf(record);
  if (kind == "syscall") return SyscallOf(record);
  if (kind == "file") return FileOf(record);
  if (kind == "journal") return "journal " + text::Quote(Text(record, "reason"));
  if (kind == "cell") return "cell " + text::Quote(Text(record, "name")) + ": " + CommandOf(record);
  return CommandOf(record);
}

// Nothing of "a" to "z" here is cut: for bytes that are UTF-8 already.
std::string Cut(const std::string& text, std::size_t characters) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) == 0x80) continue;
    if (++count > characters) return text.substr(0, i) + "…";
  }
  return text;
}

std::size_t Width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string_view ColorOf(const std::string& verdict) {
  if (verdict == "deny") return "\x1b[31m";
  if (verdict == "ask") return "\x1b[33m";
  return verdict == "allow" ? "\x1b[32m" : "";
}

struct Column {
  const char* title;
  std::string Row::*value;
  std::size_t width;  // in a table that goes on
};
constexpr std::array kColumns = {
    Column{"ID", &Row::id, 7},        Column{"TIME", &Row::time, 8},
    Column{"CELL", &Row::cell, 16},   Column{"VERDICT", &Row::verdict, 7},
    Column{"RULE", &Row::rule, 18},   Column{"RESULT", &Row::result, 14},
    Column{"COMMAND", &Row::what, 0},
};

std::string LineWith(const Row& row, const std::array<std::size_t, kColumns.size()>& widths,
                     const TableStyle& style) {
  std::string line;
  for (std::size_t i = 0; i < kColumns.size(); ++i) {
    const bool last = i + 1 == kColumns.size();
    std::string value = row.*kColumns[i].value;
    if (last && style.max_command_characters > 0) value = Cut(value, style.max_command_characters);
    const std::size_t width = Width(value);
    const std::string_view color =
        style.color && kColumns[i].value == &Row::verdict ? ColorOf(value) : "";
    if (!color.empty()) {
      value.insert(0, color);
      value += "\x1b[0m";
    }
    line += value;
    if (!last) line.append(width < widths[i] ? widths[i] - width + 2 : 2, ' ');
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

std::string Ago(const std::string& time, Clock::time_point now) {
  const auto moment = options::ParseMoment(time, now);
  if (!moment) return "?";
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now - *moment).count();
  constexpr std::int64_t kMinute = 60;
  constexpr std::int64_t kHour = 60 * kMinute;
  constexpr std::int64_t kDay = 24 * kHour;
  if (seconds < -kMinute || seconds >= 30 * kDay) return text::Escape(time.substr(0, 10));
  if (seconds < kMinute) return std::to_string(std::max<std::int64_t>(seconds, 0)) + "s ago";
  if (seconds < kHour) return std::to_string(seconds / kMinute) + "m ago";
  if (seconds < kDay) return std::to_string(seconds / kHour) + "h ago";
  return std::to_string(seconds / kDay) + "d ago";
}

std::string CommandOf(const json& record) {
  const std::set<std::string> escaped = EscapedFields(record);
  const std::string exe = Text(record, "exe");
  std::string line = Shown(exe, escaped.count("exe") > 0);
  if (exe.empty()) line = record.contains("path") ? ShownField(record, "path") : "";
  const json argv = record.value("argv", json::array());
  for (std::size_t i = exe.empty() && !record.contains("path") ? 0 : 1; i < argv.size(); ++i) {
    if (!argv[i].is_string()) continue;
    const bool is_escaped = escaped.count("argv[" + std::to_string(i) + "]") > 0;
    line += (line.empty() ? "" : " ") + Shown(argv[i].get<std::string>(), is_escaped);
  }
  if (record.contains("argv_count")) line += " …";
  return line;
}

std::string RuleOf(const json& rule) {
  const std::string file = Text(rule, "file");
  std::string text = text::Escape(file.substr(file.rfind('/') + 1));  // npos + 1 is 0
  if (rule.contains("line")) text += ":" + rule["line"].dump();
  return text.empty() ? text::Escape(Text(rule, "name")) : text;
}

Row RowOf(const json& record, const CellNames& names, Clock::time_point now) {
  const std::string cell = Text(record, "cell");
  const auto name = names.find(cell);
  Row row;
  row.id = record.contains("seq") ? record["seq"].dump() : "";
  row.time = Ago(Text(record, "time"), now);
  row.cell = text::Escape(name == names.end() ? cell.substr(0, 12) : name->second);
  row.verdict = text::Escape(Text(record, "verdict"));
  const std::string observed = Text(record, "observed");
  if (!observed.empty()) row.verdict += " (" + text::Escape(observed) + ")";
  row.rule = RuleOf(record.value("rule", json::object()));
  row.result = text::Escape(Text(record, "result"));
  row.what = WhatOf(record);
  return row;
}

std::string TableOf(const std::vector<Row>& rows, const TableStyle& style) {
  if (rows.empty()) return "";
  std::array<std::size_t, kColumns.size()> widths{};
  Row titles;
  for (std::size_t i = 0; i < kColumns.size(); ++i) {
    titles.*kColumns[i].value = kColumns[i].title;
    if (style.headers) widths[i] = Width(kColumns[i].title);
    for (const Row& row : rows) widths[i] = std::max(widths[i], Width(row.*kColumns[i].value));
  }
  std::string table;
  if (style.headers) table = LineWith(titles, widths, style);
  for (const Row& row : rows) table += LineWith(row, widths, style);
  return table;
}

std::string LineOf(const Row& row, const TableStyle& style) {
  std::array<std::size_t, kColumns.size()> widths{};
  for (std::size_t i = 0; i < kColumns.size(); ++i) widths[i] = kColumns[i].width;
  return LineWith(row, widths, style);
}

}  // namespace cellrun::history
