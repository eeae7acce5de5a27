// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/reader.h"

#include <limits>
#include <utility>

#include "broker/journal/digest.h"
#include "broker/journal/encode.h"
#include "broker/journal/json_text.h"
#include "broker/journal/schema.h"
#include "lib/base/text.h"

namespace cellrun::journal {
namespace {

constexpr std::chrono::seconds kMaxQueryTime{10};
constexpr const char* kRecordColumns = "seq, record, prev, hash";

std::string HexOf(std::string_view bytes) {
  Digest digest{};
  if (bytes.size() != digest.size()) return "";
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return Hex(digest);
}

StoredRecord RecordOf(const Statement& row) {
  StoredRecord record;
  record.seq = static_cast<std::uint64_t>(row.Number(0));
  record.json = std::string(row.Text(1));
  if (record.json.ends_with('}')) record.json.pop_back();
  record.json.append(",\"prev\":\"").append(HexOf(row.Blob(2)));
  record.json.append("\",\"hash\":\"").append(HexOf(row.Blob(3))).append("\"}");
  return record;
}

// As it stands in a record's JSON.
std::string Needle(const std::string& text) {
  std::string needle;
  JsonText::AppendString(needle, text::IsUtf8(text) ? text : text::Escape(text));
  return needle;
}

std::string Placeholders(std::size_t count) {
  std::string list;
  for (std::size_t i = 0; i < count; ++i) list += i == 0 ? "?" : ",?";
  return list;
}

// The WHERE clause's conditions, and what is bound to them, in step.
struct Conditions {
  std::string sql = " WHERE 1";
  std::vector<std::string> texts;
  std::vector<std::int64_t> numbers;  // used where texts has "\0"

  void Text(std::string_view condition, std::string value) {
    sql.append(" AND ").append(condition);
    texts.push_back(std::move(value));
    numbers.push_back(0);
  }
  void Number(std::string_view condition, std::int64_t value) {
    sql.append(" AND ").append(condition);
    texts.emplace_back(1, '\0');
    numbers.push_back(value);
  }
  void AnyOf(std::string_view column, const std::vector<std::string>& values) {
    if (values.empty()) return;
    sql.append(" AND ").append(column).append(" IN (").append(Placeholders(values.size())) += ")";
    for (const std::string& value : values) {
      texts.push_back(value);
      numbers.push_back(0);
    }
  }
};

Conditions ConditionsOf(const Filter& filter) {
  Conditions where;
  if (!filter.cell.empty()) where.Text("cell = ?", filter.cell);
  where.AnyOf("kind", filter.kinds);
  where.AnyOf("verdict", filter.verdicts);
  if (filter.since) where.Number("time >= ?", Microseconds(*filter.since));
  if (filter.until) where.Number("time < ?", Microseconds(*filter.until));
  if (!filter.exe.empty()) {
    const bool is_name = filter.exe.find('/') == std::string::npos;
    where.Text("exe GLOB ?", is_name ? "*/" + filter.exe : filter.exe);
  }
  if (!filter.text.empty()) where.Text("instr(record, ?) > 0", Needle(filter.text));
  return where;
}

std::int64_t Signed(std::uint64_t number) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  return number > static_cast<std::uint64_t>(kMax) ? kMax : static_cast<std::int64_t>(number);
}

}  // namespace

Result<Reader> Reader::Open(const std::string& path) {
  return Reader(TRY(OpenForReading(path)));
}

Result<Statement> Reader::Select(const char* columns, const Filter& filter, std::string_view rest) {
  const Conditions where = ConditionsOf(filter);
  Statement statement = TRY(database_.Prepare(std::string("SELECT ") + columns + " FROM records" +
                                              where.sql + std::string(rest)));
  // Bound by value: the statement outlives `where`.
  for (std::size_t i = 0; i < where.texts.size(); ++i) {
    const int parameter = static_cast<int>(i) + 1;
    if (where.texts[i] == std::string_view("\0", 1)) {
      statement.Bind(parameter, where.numbers[i]);
    } else {
      statement.BindCopy(parameter, where.texts[i]);
    }
  }
  database_.SetDeadline(kMaxQueryTime);
  return statement;
}

Result<void> Reader::ResolveCell(Filter& filter) {
  if (filter.cell.empty()) return {};
  Statement named = TRY(database_.Prepare(
      "SELECT cell FROM records WHERE kind = 'cell' AND json_extract(record, '$.name') = ?"
      " ORDER BY seq DESC LIMIT 1"));
  if (TRY(named.Bind(1, filter.cell).Step())) {
    filter.cell = std::string(named.Text(0));
    return {};
  }
  // Ids are hex digits: the next string after all that start so ends in a byte above 'f'.
  Statement ids = TRY(
      database_.Prepare("SELECT DISTINCT cell FROM records WHERE cell >= ? AND cell < ? LIMIT 2"));
  const std::string end = filter.cell + "\x7f";
  ids.Bind(1, filter.cell).Bind(2, end);
  std::vector<std::string> found;
  while (TRY(ids.Step())) {
    found.emplace_back(ids.Text(0));
    if (found.back() == filter.cell) return {};
  }
  if (found.size() > 1) {
    return Error(EINVAL, "looking for the cell", "several cells' ids start with " + filter.cell);
  }
  if (found.size() == 1) filter.cell = found[0];
  return {};
}

Result<std::vector<StoredRecord>> Reader::Page(const Filter& filter, std::uint64_t after,
                                               std::size_t rows) {
  Statement statement = TRY(Select(kRecordColumns, filter,
                                   " AND seq > " + std::to_string(Signed(after)) +
                                       " ORDER BY seq LIMIT " + std::to_string(rows)));
  std::vector<StoredRecord> page;
  while (TRY(statement.Step())) page.push_back(RecordOf(statement));
  return page;
}

Result<std::uint64_t> Reader::BeforeNewest(const Filter& filter, std::uint64_t count) {
  if (count == 0) return 0;
  Statement statement = TRY(Select(
      "seq", filter, " ORDER BY seq DESC LIMIT 1 OFFSET " + std::to_string(Signed(count) - 1)));
  if (!TRY(statement.Step())) return 0;
  return static_cast<std::uint64_t>(statement.Number(0)) - 1;
}

Result<std::uint64_t> Reader::Last() {
  return static_cast<std::uint64_t>(TRY(database_.QueryNumber("SELECT seq FROM head")));
}

Result<std::optional<StoredRecord>> Reader::Find(std::uint64_t seq) {
  Statement statement =
      TRY(database_.Prepare("SELECT seq, record, prev, hash FROM records WHERE seq = ?"));
  if (!TRY(statement.Bind(1, Signed(seq)).Step())) return std::optional<StoredRecord>();
  return std::optional<StoredRecord>(RecordOf(statement));
}

Result<std::optional<StoredRecord>> Reader::FollowUp(std::uint64_t seq) {
  Statement statement = TRY(database_.Prepare(
      "SELECT seq, record, prev, hash FROM records WHERE json_extract(record, '$.of') = ?"
      " AND json_extract(record, '$.of') IS NOT NULL ORDER BY seq DESC LIMIT 1"));
  if (!TRY(statement.Bind(1, Signed(seq)).Step())) return std::optional<StoredRecord>();
  return std::optional<StoredRecord>(RecordOf(statement));
}

Result<std::optional<StoredRecord>> Reader::CellStart(const std::string& cell, std::uint64_t seq) {
  Statement statement = TRY(database_.Prepare(
      "SELECT seq, record, prev, hash FROM records WHERE cell = ? AND seq <= ? AND kind = 'cell'"
      " AND coalesce(json_extract(record, '$.detail.documents'),"
      " json_extract(record, '$.detail.ghost_of')) IS NOT NULL ORDER BY seq DESC LIMIT 1"));
  if (!TRY(statement.Bind(1, cell).Bind(2, Signed(seq)).Step())) {
    return std::optional<StoredRecord>();
  }
  return std::optional<StoredRecord>(RecordOf(statement));
}

Result<std::optional<std::string>> Reader::Document(const std::string& digest) {
  Statement statement = TRY(database_.Prepare("SELECT text FROM documents WHERE digest = ?"));
  if (!TRY(statement.Bind(1, digest).Step())) return std::optional<std::string>();
  return std::optional<std::string>(std::string(statement.Blob(0)));
}

}  // namespace cellrun::journal
