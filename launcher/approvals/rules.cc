// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "launcher/approvals/broker.h"
#include "launcher/approvals/verbs.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"

namespace cellrun::approvals {
namespace {

using nlohmann::json;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string Where(const json& rule) {
  const std::string scope = Text(rule, "scope");
  if (scope == "cell") return text::Escape(Text(rule, "cell"));
  return scope == "project" ? text::Escape(Text(rule, "workspace")) : "everywhere";
}

// The YAML is printable ASCII, made by the broker; its lines stay lines.
std::string RuleText(const json& rule) {
  std::string text;
  const std::string yaml = Text(rule, "rule");
  for (std::size_t begin = 0; begin < yaml.size();) {
    const std::size_t end = std::min(yaml.find('\n', begin), yaml.size());
    const std::string_view line = std::string_view(yaml).substr(begin, end - begin);
    text += "    ";
    for (const char c : line) text += c >= ' ' && c < 0x7f ? c : '?';
    text += "\n";
    begin = end + 1;
  }
  return text;
}

std::string TableOf(const json& rules, bool headers) {
  std::vector<std::vector<std::string>> rows = {
      {"ID", "VERDICT", "SCOPE", "FOR", "EXPIRES", "USED", "BY"}};
  for (const json& rule : rules) {
    const std::string expires = Text(rule, "expires");
    rows.push_back({text::Escape(Text(rule, "id")), text::Escape(Text(rule, "verdict")),
                    text::Escape(Text(rule, "scope")), Where(rule),
                    expires.empty() ? "with the cell" : text::Escape(expires),
                    std::to_string(rule.value("used", std::uint64_t{0})),
                    text::Escape(Text(rule, "by"))});
  }
  const std::string table = output::Table(rows, headers);
  // Each row with its rule, verbatim, below it.
  std::string text;
  std::size_t begin = 0;
  std::size_t next = headers ? 0 : 1;
  for (std::size_t line = headers ? 0 : 1; begin < table.size(); ++line, ++next) {
    const std::size_t end = std::min(table.find('\n', begin), table.size() - 1) + 1;
    text += table.substr(begin, end - begin);
    if (next > 0 && next - 1 < rules.size()) text += RuleText(rules[next - 1]);
    begin = end;
  }
  return text;
}

}  // namespace

int ListRules(const std::string& output, bool headers) {
  json rules = json::array();
  const Reply reply = CallForLines("/v1/approval-rules", false, [&](std::string_view line) {
    json rule = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (rule.is_object()) rules.push_back(std::move(rule));
    return true;
  });
  if (!reply.ok()) return Fail(reply);
  const auto format = output::FormatFromName(output);
  std::string text;
  if (format == output::Format::kName) {
    for (const json& rule : rules) text += text::Escape(Text(rule, "id")) + "\n";
  } else {
    text = format == output::Format::kTable ? TableOf(rules, headers)
                                            : output::Document(rules, format);
  }
  return output::Print(text) ? 0 : 1;
}

int RemoveRules(const std::vector<std::string>& ids) {
  int status = 0;
  for (const std::string& id : ids) {
    json rule;
    const Reply reply = Call("DELETE", "/v1/approval-rules/" + id, nullptr, rule);
    if (!reply.ok()) {
      status = Fail(reply);
    } else {
      launcher::PrintNote("removed the rule " + Text(rule, "id"));
    }
  }
  return status;
}

}  // namespace cellrun::approvals
