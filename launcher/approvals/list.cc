// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "launcher/approvals/ask_text.h"
#include "launcher/approvals/broker.h"
#include "launcher/approvals/verbs.h"
#include "launcher/client/http.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"

namespace cellrun::approvals {
namespace {

using nlohmann::json;

constexpr std::size_t kCommandBytes = 200;
constexpr std::size_t kPrintBytes = std::size_t{64} * 1024;

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string Joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ",") + name;
  return list;
}

std::string RuleOf(const json& ask) {
  const auto rule = ask.find("rule");
  if (rule == ask.end() || !rule->is_object()) return "-";
  if (const std::string name = Text(*rule, "name"); !name.empty()) return text::Escape(name);
  const std::string file = Text(*rule, "file");
  return text::Escape(file.substr(file.rfind('/') + 1)) + ":" +
         std::to_string(rule->value("line", 0));
}

// The command is escaped already: cut at a character, never within an escape sequence's meaning.
std::string Short(std::string command) {
  if (command.size() <= kCommandBytes) return command;
  std::size_t end = kCommandBytes;
  while (end > 0 && (static_cast<unsigned char>(command[end]) & 0xc0U) == 0x80) --end;
  return command.substr(0, end) + "…";
}

std::vector<std::string> RowOf(const json& ask) {
  const std::string state = Text(ask, "state");
  const bool pending = state == "pending";
  const std::uint64_t waiting = ask.value("waiting", std::uint64_t{1});
  return {text::Escape(Text(ask, "id")),
          text::Escape(state) + (waiting > 1 ? " ×" + std::to_string(waiting) : ""),
          pending ? TimeText(ask.value("left_ms", std::int64_t{0})) : "-",
          text::Escape(Text(ask, "cell")),
          RuleOf(ask),
          Short(CommandText(ask))};
}

std::string LineOf(const std::vector<std::string>& row) {
  std::string line;
  for (const std::string& cell : row) line += (line.empty() ? "" : "  ") + cell;
  return line + "\n";
}

// Prints as it comes, in larger pieces.
class Printer {
 public:
  explicit Printer(bool at_once) : at_once_(at_once) {}
  bool Put(std::string_view text) {
    pending_ += text;
    return (!at_once_ && pending_.size() < kPrintBytes) || Flush();
  }
  bool Flush() { return output::Print(std::exchange(pending_, {})); }

 private:
  const bool at_once_;
  std::string pending_;
};

Reply PrintTable(const ListOptions& options, const std::string& target) {
  std::vector<std::vector<std::string>> rows = {{"ID", "STATE", "LEFT", "CELL", "RULE", "COMMAND"}};
  const Reply reply = CallForLines(target, options.follow, [&](std::string_view line) {
    const json ask = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!ask.is_object()) return true;
    if (options.follow) return output::Print(LineOf(RowOf(ask)));
    rows.push_back(RowOf(ask));
    return true;
  });
  if (reply.ok() && !options.follow) (void)output::Print(output::Table(rows, options.headers));
  return reply;
}

Reply PrintDocuments(const ListOptions& options, const std::string& target) {
  Printer printer(options.follow);
  const auto format = output::FormatFromName(options.output);
  json array = json::array();
  bool first = true;
  const bool whole = format == output::Format::kJson;
  Reply reply = CallForLines(target, options.follow, [&](std::string_view line) {
    if (format == output::Format::kJsonLines) return printer.Put(output::EscapeHidden(line) + "\n");
    if (whole) {
      const bool go_on = printer.Put((first ? "[\n" : ",\n") + output::EscapeHidden(line));
      first = false;
      return go_on;
    }
    json ask = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!ask.is_object()) return true;
    if (format == output::Format::kName) return printer.Put(text::Escape(Text(ask, "id")) + "\n");
    array.push_back(std::move(ask));
    return true;
  });
  if (!reply.ok()) return reply;
  if (whole) (void)printer.Put(first ? "[]\n" : "\n]\n");
  (void)printer.Flush();
  if (format == output::Format::kYaml) (void)output::Print(output::Document(array, format));
  return reply;
}

// No broker: nothing waits.
Reply EmptyIfNoBroker(Reply reply, const ListOptions& options) {
  if (!reply.no_broker()) return reply;
  reply.error.reset();
  const auto format = output::FormatFromName(options.output);
  if (format == output::Format::kTable) {
    (void)output::Print(
        output::Table({{"ID", "STATE", "LEFT", "CELL", "RULE", "COMMAND"}}, options.headers));
  }
  if (format == output::Format::kJson || format == output::Format::kYaml) {
    (void)output::Print(output::Document(json::array(), format));
  }
  return reply;
}

}  // namespace

int List(const ListOptions& options) {
  std::vector<std::pair<std::string, std::string>> query;
  if (!options.states.empty()) query.emplace_back("state", Joined(options.states));
  if (!options.cell.empty()) query.emplace_back("cell", options.cell);
  if (options.limit > 0) query.emplace_back("limit", std::to_string(options.limit));
  if (options.follow) query.emplace_back("follow", "1");
  const std::string target = client::Target("/v1/approvals", query);
  const Reply reply = EmptyIfNoBroker(
      options.output == "table" ? PrintTable(options, target) : PrintDocuments(options, target),
      options);
  return reply.ok() ? 0 : Fail(reply);
}

int Show(const std::string& id, const std::string& output) {
  json ask;
  const Reply reply = Call("GET", "/v1/approvals/" + id, nullptr, ask);
  if (!reply.ok()) return Fail(reply);
  const auto format = output::FormatFromName(output);
  const std::string text = format == output::Format::kTable ? AskText(ask, ColumnsOf(STDOUT_FILENO))
                                                            : output::Document(ask, format);
  return output::Print(text) ? 0 : 1;
}

}  // namespace cellrun::approvals
