// SPDX-License-Identifier: Apache-2.0
#include "launcher/history/history.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "launcher/client/error_form.h"
#include "launcher/client/http.h"
#include "launcher/history/record_row.h"
#include "launcher/history/source.h"
#include "launcher/options/value.h"
#include "launcher/output/rows.h"
#include "lib/base/text.h"

namespace cellrun::history {
namespace {

using nlohmann::json;
using Query = std::vector<std::pair<std::string, std::string>>;

constexpr std::uint64_t kTableRecords = 100;
constexpr std::size_t kFixedColumns = 60;  // what a row needs before its command
constexpr std::size_t kLeastCommand = 40;
constexpr std::size_t kPrintBytes = std::size_t{32} * 1024;

std::string Joined(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ",") + name;
  return list;
}

// As the API takes it: RFC 3339 in UTC, whole microseconds.
std::optional<std::string> Moment(const std::string& text) {
  const auto moment = options::ParseMoment(text, Clock::now());
  if (!moment) return std::nullopt;
  const auto micros =
      std::chrono::duration_cast<std::chrono::microseconds>(moment->time_since_epoch()).count();
  if (micros < 0) return std::nullopt;
  const auto seconds = static_cast<std::time_t>(micros / 1'000'000);
  std::tm parts{};
  (void)gmtime_r(&seconds, &parts);
  std::array<char, 64> out{};
  std::size_t length = std::strftime(out.data(), out.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  length += static_cast<std::size_t>(std::snprintf(out.data() + length, out.size() - length,
                                                   ".%06dZ", static_cast<int>(micros % 1'000'000)));
  return std::string(out.data(), length);
}

// False after an error was printed.
bool AddMoment(const char* option, const std::string& text, Query& query) {
  if (text.empty()) return true;
  const auto moment = Moment(text);
  if (!moment) {
    launcher::PrintError({"wrong value for --" + std::string(option) + ": " + text,
                          "a time as 2024-05-01T12:00:00Z or a duration back is expected",
                          "cellrun history --" + std::string(option) + " 2h"});
    return false;
  }
  query.emplace_back(option, *moment);
  return true;
}

void AddText(const char* name, const std::string& value, Query& query) {
  if (!value.empty()) query.emplace_back(name, value);
}

std::optional<Query> QueryOf(const HistoryOptions& options) {
  Query query;
  AddText("cell", options.cell, query);
  AddText("kind", Joined(options.kinds), query);
  AddText("verdict", Joined(options.verdicts), query);
  if (!AddMoment("since", options.since, query)) return std::nullopt;
  if (!AddMoment("until", options.until, query)) return std::nullopt;
  AddText("exe", options.exe, query);
  AddText("text", options.text, query);
  std::uint64_t limit = options.limit;
  if (limit == 0 && options.output == Output::kTable) limit = kTableRecords;
  if (limit > 0) query.emplace_back("limit", std::to_string(limit));
  return query;
}

TableStyle StyleOf(const HistoryOptions& options) {
  constexpr std::array<const char*, 3> kWhen = {"auto", "always", "never"};
  TableStyle style;
  style.headers = options.headers;
  style.color = output::UseColor(kWhen[static_cast<std::size_t>(options.color)]);
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
    style.max_command_characters =
        std::max(kLeastCommand, size.ws_col > kFixedColumns ? size.ws_col - kFixedColumns : 0U);
  }
  return style;
}

CellNames ReadNames(const Source& source) {
  CellNames names;
  const auto add = [&](std::string_view line) {
    const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object()) names[record.value("cell", "")] = record.value("name", "");
    return true;
  };
  // Without names the ids stand in the table: not worth an error.
  (void)source.Lines(client::Target("/v1/records", {{"kind", "cell"}, {"limit", "2000"}}), add);
  return names;
}

// Whether anything is recorded of it; also when that cannot be found out, since the query then says
// why.
bool HasCell(const Source& source, const std::string& cell) {
  bool found = false;
  const auto outcome = source.Lines(client::Target("/v1/records", {{"cell", cell}, {"limit", "1"}}),
                                    [&](std::string_view) { return found = true; });
  return found || outcome.error.has_value();
}

int Finish(const Source::Outcome& outcome) {
  return outcome.error ? PrintOutcome(outcome) : 0;
}

// The record objects as they came: a JSON array, or one a line.
class JsonPrinter {
 public:
  explicit JsonPrinter(bool array) : array_(array) {}
  bool Put(std::string_view line) {
    if (array_) pending_ += count_ == 0 ? "[\n" : ",\n";
    pending_ += line;
    if (!array_) pending_ += "\n";
    ++count_;
    return pending_.size() < kPrintBytes || Flush();
  }
  bool Flush() { return output::Print(std::exchange(pending_, {})); }
  bool End() {
    if (array_) pending_ += count_ == 0 ? "[]\n" : "\n]\n";
    return Flush();
  }

 private:
  const bool array_;
  std::string pending_;
  std::uint64_t count_ = 0;
};

int PrintJson(const Source& source, const std::string& target, bool array) {
  JsonPrinter printer(array);
  const auto outcome = source.Lines(
      target, [&](std::string_view line) { return printer.Put(output::EscapeHidden(line)); });
  if (!outcome.error) (void)printer.End();  // a reader that left has seen enough
  return Finish(outcome);
}

// A result that became known later stands with what it is about, if that is in the table.
void AddRecord(const json& record, const CellNames& names, std::vector<Row>& rows,
               std::map<std::string, std::size_t>& places) {
  if (record.contains("of")) {
    const auto about = places.find(record["of"].dump());
    if (about != places.end()) {
      rows[about->second].result = RowOf(record, names, Clock::now()).result;
      return;
    }
  }
  rows.push_back(RowOf(record, names, Clock::now()));
  places[rows.back().id] = rows.size() - 1;
}

int PrintTable(const Source& source, const std::string& target, const TableStyle& style) {
  const CellNames names = ReadNames(source);
  std::vector<Row> rows;
  std::map<std::string, std::size_t> places;
  const auto outcome = source.Lines(target, [&](std::string_view line) {
    const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_object()) AddRecord(record, names, rows, places);
    return true;
  });
  if (!outcome.error) (void)output::Print(TableOf(rows, style));
  return Finish(outcome);
}

int Follow(const Source& source, const std::string& target, const HistoryOptions& options) {
  TableStyle style = StyleOf(options);
  CellNames names;
  if (options.output == Output::kTable) names = ReadNames(source);
  const auto print = [&](std::string_view line) {
    if (options.output != Output::kTable) return output::Print(output::EscapeHidden(line) + "\n");
    const json record = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!record.is_object()) return true;
    if (record.value("kind", "") == "cell") {
      names[record.value("cell", "")] = record.value("name", "");
    }
    return output::Print(LineOf(RowOf(record, names, Clock::now()), style));
  };
  return Finish(source.Lines(target, print, /*follow=*/true));
}

}  // namespace

int History(const HistoryOptions& options) {
  auto query = QueryOf(options);
  if (!query) return 2;
  const Source source(options.places);
  if (!options.cell.empty() && !HasCell(source, options.cell)) {
    launcher::PrintError({"no cell " + text::Quote(options.cell) + " is in the journal", "",
                          "cellrun history --kind cell"});
    return 1;
  }
  if (options.follow && source.live()) {
    query->emplace_back("follow", "1");
    return Follow(source, client::Target("/v1/records", *query), options);
  }
  const std::string target = client::Target("/v1/records", *query);
  const int status = options.output == Output::kTable
                         ? PrintTable(source, target, StyleOf(options))
                         : PrintJson(source, target, options.output == Output::kJson);
  if (options.follow && status == 0) {
    launcher::PrintNote("no broker runs, so no records can follow");
  }
  return status;
}

int AuditExport(const AuditExportOptions& options) {
  Query query = {{"format", options.format}};
  AddText("cell", options.cell, query);
  if (!AddMoment("since", options.since, query)) return 2;
  if (!AddMoment("until", options.until, query)) return 2;
  const Source source(options.places, options.file);
  // As it is hashed.
  JsonPrinter printer(false);
  const auto outcome = source.Lines(client::Target("/v1/audit/export", query),
                                    [&](std::string_view line) { return printer.Put(line); });
  if (!outcome.error) (void)printer.End();
  return Finish(outcome);
}

}  // namespace cellrun::history
