// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/encode.h"

#include <array>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "broker/journal/json_text.h"
#include "broker/journal/redact.h"

namespace cellrun::journal {
namespace {

constexpr std::size_t kMaxDetailDepth = 32;

void WriteText(JsonText& json, const char* name, const std::string& value) {
  if (!value.empty()) json.Text(name, value);
}

void WriteList(JsonText& json, const char* name, const std::vector<std::string>& list) {
  if (list.empty()) return;
  json.OpenList(name);
  for (const std::string& item : list) json.Item(item);
  json.CloseList();
}

void WriteImages(JsonText& json, const char* name, std::uint32_t images) {
  if (images == 0) return;
  json.OpenList(name);
  for (std::uint64_t i = 0; i < 32; ++i) {
    if ((images >> i & 1) != 0) json.Item(i);
  }
  json.CloseList();
}

void WriteArguments(JsonText& json, const Entry& entry, std::string_view key) {
  std::vector<std::string> argv = entry.record.argv;
  const bool redacted = entry.record.redact && Redact(argv);
  WriteList(json, "argv", argv);
  if (entry.cuts.argv_count > 0) {
    json.Number("argv_count", entry.cuts.argv_count);
    json.Number("argv_bytes", entry.cuts.argv_bytes);
    json.Text("argv_digest", entry.cuts.argv_digest);
  } else if (redacted) {
    json.Text("argv_digest", ArgvDigest(entry.record.argv, key));
  }
  if (redacted) json.Boolean("redacted", true);
}

void WriteExec(JsonText& json, const Record& record) {
  WriteText(json, "cwd", record.cwd);
  WriteText(json, "parent", record.parent);
  WriteText(json, "user", record.user);
  if (record.kind == Kind::kExec || record.kind == Kind::kAsk) json.Boolean("tty", record.tty);
  WriteImages(json, "scripts", record.script_images);
  WriteImages(json, "writable", record.writable_images);
  WriteImages(json, "anonymous", record.anonymous_images);
  WriteText(json, "env_digest", record.env_digest);
  WriteText(json, "image_hash", record.image_hash);
}

void WriteConnection(JsonText& json, const Record& record) {
  WriteText(json, "to", record.to);
  WriteText(json, "name", record.name);
  WriteText(json, "proto", record.proto);
  if (record.port != 0) json.Number("port", record.port);
  if (record.bytes_in != 0 || record.bytes_out != 0) {
    json.Number("bytes_in", record.bytes_in);
    json.Number("bytes_out", record.bytes_out);
  }
}

void WriteRule(JsonText& json, const policy::RuleReference& rule) {
  if (rule.name.empty() && rule.at.line == 0 && rule.at.file.empty()) return;
  json.OpenObject("rule");
  json.Text("name", rule.name);
  json.Text("layer", policy::LayerName(rule.layer));
  if (!rule.at.file.empty()) json.Text("file", rule.at.file);
  if (rule.at.line > 0) json.Number("line", std::int64_t{rule.at.line});
  json.CloseObject();
}

// The broker's own JSON in canonical form; what is none (cut, for example) stands as text.
void WriteDetail(JsonText& json, const std::string& detail) {
  if (detail.empty()) return;
  std::size_t depth = 0;
  const auto count_depth = [&](int at, nlohmann::json::parse_event_t /*event*/,
                               nlohmann::json& /*value*/) {
    depth = std::max(depth, static_cast<std::size_t>(at));
    return true;
  };
  const auto parsed = nlohmann::json::parse(detail, count_depth, /*allow_exceptions=*/false);
  if (parsed.is_discarded() || depth > kMaxDetailDepth) return json.Text("detail", detail);
  json.Raw("detail",
           parsed.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace));
}

void WriteCuts(JsonText& json, const Cuts& cuts) {
  if (cuts.empty()) return;
  json.OpenList("cut");
  for (const char* field : cuts.fields) json.Item(std::string_view(field));
  json.CloseList();
}

void WriteVerdict(JsonText& json, const Record& record) {
  json.Text("verdict", policy::ActionName(record.verdict));
  if (record.kind == Kind::kExec) {
    json.Text("strategy", policy::StrategyName(record.strategy));
  }
  WriteText(json, "observed", record.observed);
  WriteRule(json, record.rule);
  WriteText(json, "reason", record.reason);
}

}  // namespace

std::string Encode(const Entry& entry, std::string_view key) {
  const Record& record = entry.record;
  JsonText json;
  json.Number("seq", entry.seq);
  if (entry.of != 0) json.Number("of", entry.of);
  json.Text("time", FormatTime(record.time));
  json.Text("cell", record.cell);
  json.Text("kind", KindName(record.kind));
  if (entry.of == 0) {
    json.Number("pid", record.pid);
    json.Number("uid", std::uint64_t{record.uid});
    WriteText(json, "path", record.path);
    WriteText(json, "exe", record.exe);
    WriteList(json, "chain", record.chain);
    WriteArguments(json, entry, key);
    WriteExec(json, record);
    WriteConnection(json, record);
    WriteVerdict(json, record);
    if (record.count != 1 || record.kind == Kind::kJournal) json.Number("count", record.count);
    WriteList(json, "layers", record.layers);
    WriteDetail(json, record.detail);
    WriteCuts(json, entry.cuts);
  } else {
    WriteText(json, "exe", record.exe);
    json.Text("verdict", policy::ActionName(record.verdict));
  }
  WriteText(json, "result", record.result);
  return json.Finish();
}

std::int64_t Microseconds(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count();
}

std::string FormatTime(std::chrono::system_clock::time_point time) {
  const std::int64_t micros = Microseconds(time);
  std::int64_t seconds = micros / 1'000'000;
  std::int64_t rest = micros % 1'000'000;
  if (rest < 0) {
    rest += 1'000'000;
    --seconds;
  }
  const auto clock = static_cast<std::time_t>(seconds);
  std::tm parts{};
  (void)gmtime_r(&clock, &parts);
  std::array<char, 64> text{};
  std::size_t length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  length += static_cast<std::size_t>(
      std::snprintf(text.data() + length, text.size() - length, ".%06dZ", static_cast<int>(rest)));
  return {text.data(), length};
}

std::optional<std::chrono::system_clock::time_point> ParseTime(std::string_view given) {
  const std::string text(given.substr(0, 64));
  std::tm parts{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) return std::nullopt;
  std::int64_t micros = 0;
  if (*rest == '.') {
    std::int64_t weight = 100'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest) {
      micros += weight * (*rest - '0');
      weight /= 10;
    }
  }
  int hours = 0;
  int minutes = 0;
  char sign = 0;
  int used = 0;
  if (std::sscanf(rest, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) == 3 &&
      (sign == '+' || sign == '-')) {
    rest += used;
  } else if (*rest == 'Z' || *rest == 'z') {
    ++rest;
  } else {
    return std::nullopt;
  }
  const std::int64_t offset = std::int64_t{hours} * 3600 + std::int64_t{minutes} * 60;
  const std::int64_t seconds = timegm(&parts) - (sign == '-' ? -offset : offset);
  if (*rest != '\0' || seconds < 0 || seconds > 9'223'372'036) return std::nullopt;
  return std::chrono::system_clock::time_point(std::chrono::seconds(seconds) +
                                               std::chrono::microseconds(micros));
}

}  // namespace cellrun::journal
