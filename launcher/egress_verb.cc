// SPDX-License-Identifier: Apache-2.0
#include "launcher/egress_verb.h"

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "launcher/approvals/broker.h"
#include "launcher/client/error_form.h"
#include "launcher/options/value.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"

namespace cellrun::launcher {
namespace {

using nlohmann::json;
using options::Arguments;
using options::OptionId;
using options::VerbId;

constexpr int kUsage = 2;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? text::Escape(found->get<std::string>()) : "";
}

// "2m 10s" until a moment, from a clock that both sides share.
std::string Left(const std::string& expires) {
  const auto moment = options::ParseMoment(expires, std::chrono::system_clock::now());
  if (!moment) return expires;
  const auto left =
      std::chrono::ceil<std::chrono::seconds>(*moment - std::chrono::system_clock::now());
  const std::int64_t seconds = std::max<std::int64_t>(0, left.count());
  if (seconds < 60) return std::to_string(seconds) + "s left";
  return std::to_string(seconds / 60) + "m " + std::to_string(seconds % 60) + "s left";
}

std::string Joined(const json& texts) {
  std::string all;
  for (const json& one : texts) {
    if (!one.is_string()) continue;
    if (!all.empty()) all += " ";
    all += text::Escape(one.get<std::string>());
  }
  return all;
}

std::string TableOf(const json& object) {
  std::vector<std::vector<std::string>> rows = {
      {"ID", "THEN", "TO", "PORTS", "PROTO", "EXPIRES", "FROM"}};
  for (const json& change : object.value("changes", json::array())) {
    const std::string expires = Text(change, "expires");
    rows.push_back({Text(change, "id"), Text(change, "then"), Text(change, "to"), "",
                    Text(change, "proto"), expires.empty() ? "with the cell" : Left(expires),
                    Text(change, "by")});
  }
  for (const json& rule : object.value("rules", json::array())) {
    // Changes are rules too; they stand above.
    if (Text(rule, "name").starts_with("egress e") && Text(rule, "layer") == "remembered") continue;
    const std::string ports = Text(rule, "ports");
    rows.push_back({"-", Text(rule, "then"), Joined(rule.value("to", json::array())),
                    ports.empty() ? "any" : ports, Text(rule, "proto"), Text(rule, "expires"),
                    Text(rule, "file") + ":" + std::to_string(rule.value("line", 0))});
  }
  rows.push_back({"-", Text(object, "default"), "everything else", "any", "tcp", "", "default"});
  return output::Table(rows, true);
}

std::string ResolversOf(const json& object) {
  std::vector<std::vector<std::string>> rows = {{"NAMES BELOW", "ARE ASKED OF", "FROM"}};
  for (const json& resolver : object.value("resolvers", json::array())) {
    const std::string domain = Text(resolver, "domain");
    rows.push_back({domain.empty() ? "any other" : domain,
                    Joined(resolver.value("servers", json::array())),
                    resolver.value("system", false) ? "/etc/resolv.conf" : "the profile"});
  }
  return rows.size() == 1 ? "" : "\n" + output::Table(rows, true);
}

int List(const Arguments& arguments, const std::string& target) {
  json object;
  const approvals::Reply reply = approvals::Call("GET", target, nullptr, object);
  if (!reply.ok()) return approvals::Fail(reply);
  const auto format = output::FormatFromName(arguments.Get(OptionId::kOutput, "table"));
  const bool table = format == output::Format::kTable;
  return output::Print(table ? TableOf(object) + ResolversOf(object)
                             : output::Document(object, format))
             ? 0
             : 1;
}

// What is sent for a verb; nothing: its words are wrong.
std::optional<json> OrderOf(const Arguments& arguments) {
  const auto& words = arguments.words;
  const auto milliseconds = [](const std::string& duration) {
    return options::ParseDuration(duration);
  };
  switch (arguments.verb->id) {
    case VerbId::kEgressAdd: {
      json order = {{"action", "add"}, {"to", words[1]}};
      if (const auto time = milliseconds(arguments.Get(OptionId::kFor)))
        order["for_ms"] = time->count();
      return order;
    }
    case VerbId::kEgressRemove:
      return json({{"action", "remove"}, {"to", words[1]}});
    case VerbId::kEgressBypass: {
      const auto time = milliseconds(words[1]);
      if (!time || time->count() <= 0) return std::nullopt;
      return json({{"action", "bypass"}, {"for_ms", time->count()}});
    }
    default:
      return json({{"action", "reload"}});
  }
}

}  // namespace

int EgressVerb(const Arguments& arguments) {
  const std::string& cell = arguments.words[0];
  if (cell.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") !=
      std::string::npos) {
    PrintError({text::Quote(cell) + " is no cell", "", "cellrun ps"});
    return kUsage;
  }
  const std::string target = "/v1/cells/" + cell + "/egress";
  if (arguments.verb->id == VerbId::kEgressList) return List(arguments, target);
  const std::optional<json> order = OrderOf(arguments);
  if (!order) {
    PrintError({text::Quote(arguments.words[1]) + " is no duration", "30s, 5m or 2h is expected",
                "cellrun egress bypass CELL 5m"});
    return kUsage;
  }
  json object;
  const approvals::Reply reply = approvals::Call("POST", target, *order, object);
  if (!reply.ok()) return approvals::Fail(reply);
  if (object.contains("id")) {
    PrintNote(Text(object, "id") + ": " + Text(object, "then") + " " + Text(object, "to") +
              (Text(object, "expires").empty() ? "" : ", " + Left(Text(object, "expires"))));
  }
  return 0;
}

}  // namespace cellrun::launcher
