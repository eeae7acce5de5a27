// SPDX-License-Identifier: Apache-2.0
#include "broker/http/ocsf.h"

#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "broker/journal/encode.h"
#include "lib/base/version.h"

namespace cellrun::http {
namespace {

using nlohmann::json;

struct EventClass {
  std::string_view kind;
  int class_uid;
  const char* class_name;
  int category_uid;
  const char* category_name;
  int activity_id;  // where the class has one that fits
  const char* activity_name;
};
constexpr std::array kClasses = {
    EventClass{"exec", 1007, "Process Activity", 1, "System Activity", 1, "Launch"},
    EventClass{"ask", 1007, "Process Activity", 1, "System Activity", 1, "Launch"},
    EventClass{"syscall", 1007, "Process Activity", 1, "System Activity", 99, "System Call"},
    EventClass{"cell", 1007, "Process Activity", 1, "System Activity", 99, "Cell"},
    EventClass{"connect", 4001, "Network Activity", 4, "Network Activity", 1, "Open"},
    EventClass{"file", 1001, "File System Activity", 1, "System Activity", 5, "Rename"},
    EventClass{"journal", 6002, "Application Lifecycle", 6, "Application Activity", 99, "Journal"},
};

const EventClass& ClassOf(const std::string& kind) {
  for (const EventClass& known : kClasses) {
    if (known.kind == kind) return known;
  }
  return kClasses[0];
}

std::string Text(const json& record, const char* name) {
  const auto found = record.find(name);
  return found != record.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string BaseName(const std::string& path) {
  return path.substr(path.rfind('/') + 1);  // npos + 1 is 0
}

json File(const std::string& path) {
  return {{"path", path}, {"name", BaseName(path)}, {"type_id", 1}, {"type", "Regular File"}};
}

std::string CommandLine(const json& record) {
  std::string line;
  for (const json& argument : record.value("argv", json::array())) {
    line += (line.empty() ? "" : " ") + argument.get<std::string>();
  }
  return line;
}

json Process(const json& record) {
  const std::string exe = Text(record, "exe");
  json process = {{"pid", record.value("pid", 0)},
                  {"user", {{"uid", std::to_string(record.value("uid", 0U))}}}};
  if (!exe.empty()) {
    process["file"] = File(exe);
    process["name"] = BaseName(exe);
  }
  const std::string line = CommandLine(record);
  if (!line.empty()) process["cmd_line"] = line;
  const std::string user = Text(record, "user");
  if (!user.empty()) process["user"]["name"] = user;
  const std::string hash = Text(record, "image_hash");
  if (!hash.empty() && process.contains("file")) {
    process["file"]["hashes"] = {{{"algorithm_id", 3}, {"algorithm", "SHA-256"}, {"value", hash}}};
  }
  return process;
}

void SetOutcome(const json& record, json& event) {
  const std::string verdict = Text(record, "verdict");
  const bool denied = verdict == "deny";
  const bool failed = denied || Text(record, "result").starts_with("failed");
  event["status_id"] = failed ? 2 : 1;
  event["status"] = failed ? "Failure" : "Success";
  event["status_detail"] = Text(record, "result");
  event["severity_id"] = denied ? 3 : 1;
  event["severity"] = denied ? "Medium" : "Informational";
  // Allowed, Denied; an ask is decided elsewhere.
  event["action_id"] = denied ? 2 : verdict == "allow" ? 1 : 0;
  event["action"] = denied ? "Denied" : verdict == "allow" ? "Allowed" : "Unknown";
  const std::string reason = Text(record, "reason");
  if (!reason.empty()) event["message"] = reason;
  const json rule = record.value("rule", json::object());
  if (!rule.empty()) {
    event["firewall_rule"] = {
        {"name", rule.value("name", "")},
        {"uid", rule.value("file", "") + ":" + std::to_string(rule.value("line", 0))}};
  }
}

void SetSubject(const json& record, const EventClass& event_class, json& event) {
  const json process = Process(record);
  if (event_class.class_uid == 4001) {
    event["dst_endpoint"] = {{"ip", Text(record, "to")},
                             {"hostname", Text(record, "name")},
                             {"port", record.value("port", 0)}};
    event["connection_info"] = {{"protocol_name", Text(record, "proto")}, {"direction_id", 2}};
    event["traffic"] = {{"bytes_in", record.value("bytes_in", 0U)},
                        {"bytes_out", record.value("bytes_out", 0U)}};
  } else if (event_class.class_uid == 1001) {
    event["file"] = File(Text(record, "path"));
    event["file_result"] = File(Text(record, "to"));
  } else if (event_class.class_uid == 6002) {
    event["app"] = {{"name", "cellrun"}, {"vendor_name", "cellrun"}};
    return;
  } else {
    event["process"] = process;
  }
  event["actor"] = {{"process", process}};
  const std::string parent = Text(record, "parent");
  if (event_class.class_uid == 1007 && !parent.empty()) {
    event["actor"] = {{"process", {{"file", File(parent)}, {"name", BaseName(parent)}}}};
  }
}

}  // namespace

json ToOcsf(const json& record) {
  const EventClass& event_class = ClassOf(Text(record, "kind"));
  json event = {
      {"class_uid", event_class.class_uid},
      {"class_name", event_class.class_name},
      {"category_uid", event_class.category_uid},
      {"category_name", event_class.category_name},
      {"activity_id", event_class.activity_id},
      {"activity_name", event_class.activity_name},
      {"type_uid", event_class.class_uid * 100 + event_class.activity_id},
      {"type_name", std::string(event_class.class_name) + ": " + event_class.activity_name},
      {"metadata",
       {{"version", "1.1.0"},
        {"uid", Text(record, "hash")},
        {"sequence", record.value("seq", 0ULL)},
        {"product", {{"name", "cellrun"}, {"vendor_name", "cellrun"}, {"version", kVersion}}},
        {"profiles", {"security_control"}}}}};
  const auto time = journal::ParseTime(Text(record, "time"));
  event["time"] = time ? journal::Microseconds(*time) / 1000 : 0;
  SetSubject(record, event_class, event);
  SetOutcome(record, event);
  event["unmapped"] = record;
  return event;
}

}  // namespace cellrun::http
