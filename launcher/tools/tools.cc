// SPDX-License-Identifier: Apache-2.0
#include "launcher/tools/tools.h"

#include <charconv>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "launcher/approvals/broker.h"
#include "launcher/client/error_form.h"
#include "launcher/client/http.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"

namespace cellrun::tools {
namespace {

using nlohmann::json;

constexpr int kDone = 0, kFailed = 1;

std::string TargetOf(const std::string& cell, const std::string& name = "") {
  const std::string target = "/v1/cells/" + client::EncodePart(cell) + "/tools";
  return name.empty() ? target : target + "/" + client::EncodePart(name);
}

int Say(const approvals::Reply& reply) {
  if (!reply.no_broker()) return approvals::Fail(reply);
  launcher::PrintError({"no broker runs, so there are no cells", "", "cellrun ps"});
  return kFailed;
}

std::string Joined(const json& tool, const char* key) {
  std::string text;
  for (const json& item : tool.value(key, json::array())) {
    if (item.is_string()) text += (text.empty() ? "" : ",") + text::Escape(item.get<std::string>());
  }
  return text.empty() ? "-" : text;
}

// Counts are numbers, the rest is text.
json LimitsOf(const std::vector<std::string>& assignments) {
  json limits = json::object();
  for (const std::string& assignment : assignments) {
    const std::size_t equals = assignment.find('=');
    const std::string value =
        equals == std::string::npos ? std::string() : assignment.substr(equals + 1);
    json& limit = limits[assignment.substr(0, equals)];
    limit = value;
    if (assignment.starts_with("cpus=")) continue;  // also in parts
    std::uint64_t number = 0;
    const auto [end, failed] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (failed == std::errc() && end == value.data() + value.size()) limit = number;
  }
  return limits;
}

std::string LimitsText(const json& tool) {
  std::string text;
  const json limits = tool.value("limits", json::object());
  for (const auto& [name, value] : limits.items()) {
    text += (text.empty() ? "" : ",") + text::Escape(name) + "=" +
            text::Escape(value.is_string() ? value.get<std::string>() : value.dump());
  }
  return text.empty() ? "-" : text;
}

std::string Rows(const json& tools, bool headers) {
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "RUN", "FROM", "SECRETS", "WRITE", "NETWORK", "LIMITS", "IMAGE"}};
  for (const json& tool : tools) {
    const std::string image = tool.value("image", "");
    rows.push_back({text::Escape(tool.value("name", "")), text::Escape(tool.value("run", "")),
                    tool.value("added", false) ? "tool add" : "profile", Joined(tool, "secrets"),
                    Joined(tool, "write"), Joined(tool, "network"), LimitsText(tool),
                    image.empty() ? "-" : image});
  }
  return output::Table(rows, headers);
}

}  // namespace

int Add(const Addition& tool) {
  json body = {{"name", tool.name}, {"run", tool.run}};
  if (!tool.image.empty()) body["image"] = std::filesystem::absolute(tool.image).string();
  if (!tool.secrets.empty()) body["secrets"] = tool.secrets;
  if (!tool.network.empty()) body["network"] = tool.network;
  if (!tool.limits.empty()) body["limits"] = LimitsOf(tool.limits);
  for (const std::string& path : tool.write) {
    body["write"].push_back(std::filesystem::absolute(path).lexically_normal().string());
  }
  json answer;
  const approvals::Reply reply = approvals::Call("POST", TargetOf(tool.cell), body, answer);
  return reply.ok() ? kDone : Say(reply);
}

int Remove(const std::string& cell, const std::vector<std::string>& names) {
  int status = kDone;
  for (const std::string& name : names) {
    json answer;
    const approvals::Reply reply = approvals::Call("DELETE", TargetOf(cell, name), json(), answer);
    if (!reply.ok()) status = Say(reply);
  }
  return status;
}

int List(const std::string& cell, const std::string& output, bool headers) {
  json answer;
  const approvals::Reply reply = approvals::Call("GET", TargetOf(cell), json(), answer);
  if (!reply.ok()) return Say(reply);
  const json tools = answer.value("tools", json::array());
  const auto format = output::FormatFromName(output);
  std::string text;
  if (format == output::Format::kName) {
    for (const json& tool : tools) text += text::Escape(tool.value("name", "")) + "\n";
  } else if (format == output::Format::kTable) {
    text = Rows(tools, headers);
  } else {
    text = output::Document(tools, format);
  }
  return output::Print(text) ? kDone : kFailed;
}

}  // namespace cellrun::tools
