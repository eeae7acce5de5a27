// SPDX-License-Identifier: Apache-2.0
#include "broker/http/answers.h"

#include <array>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "broker/http/filter.h"
#include "broker/http/ocsf.h"
#include "broker/http/why.h"
#include "broker/journal/schema.h"

namespace cellrun::http {
namespace {

using nlohmann::json;

constexpr std::size_t kPageRows = 256;
constexpr std::size_t kVerifyRows = 20'000;
constexpr const char* kJsonLines = "application/x-ndjson";

std::string Dump(const json& value) {
  return value.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
}

Answer Whole(Response response) {
  return {.response = std::move(response), .pages = nullptr};
}

using Format = std::string (*)(const journal::StoredRecord& record);

std::string AsJson(const journal::StoredRecord& record) {
  return record.json + "\n";
}

std::string AsOcsf(const journal::StoredRecord& record) {
  const json parsed = json::parse(record.json, nullptr, /*allow_exceptions=*/false);
  return parsed.is_object() ? Dump(ToOcsf(parsed)) : "";
}

class RecordPages final : public Pages {
 public:
  RecordPages(RecordQuery query, Format format) : query_(std::move(query)), format_(format) {}

  Result<Piece> Next(journal::Reader& reader) override {
    // Read first: what is committed between the two queries is left for the next page.
    const std::uint64_t last = TRY(reader.Last());
    const auto page = TRY(reader.Page(query_.filter, query_.after, kPageRows));
    Piece piece;
    for (const journal::StoredRecord& record : page) piece.text += format_(record);
    if (!page.empty()) query_.after = page.back().seq;
    piece.end = page.size() < kPageRows;
    if (piece.end) query_.after = std::max(query_.after, last);
    return piece;
  }
  bool follows() const override { return query_.follow; }

 private:
  RecordQuery query_;
  const Format format_;
};

Answer AnswerPages(const AnswerSource& source, const Request& request, Format format) {
  RecordQuery query;
  if (auto refusal = ReadQuery(request, query)) return Whole(std::move(*refusal));
  const Result<void> resolved = source.reader.ResolveCell(query.filter);
  if (!resolved.ok()) return Whole(ErrorResponse(resolved.error()));
  if (query.limit) {
    const auto after = source.reader.BeforeNewest(query.filter, *query.limit);
    if (!after.ok()) return Whole(ErrorResponse(after.error()));
    query.after = std::max(query.after, after.value());
  }
  return {.response = {.status = 200, .body = {}, .content_type = kJsonLines},
          .pages = std::make_unique<RecordPages>(std::move(query), format)};
}

Answer AnswerRecords(const AnswerSource& source, const Request& request) {
  if (request.Query("format")) return Whole(ErrorResponse(400, "unknown parameter 'format'"));
  return AnswerPages(source, request, AsJson);
}

Answer AnswerExport(const AnswerSource& source, const Request& request) {
  const std::string format = request.Query("format").value_or("jsonl");
  if (format != "jsonl" && format != "ocsf") {
    return Whole(
        ErrorResponse(400, "wrong value for 'format': " + format, "expected jsonl or ocsf"));
  }
  return AnswerPages(source, request, format == "ocsf" ? AsOcsf : AsJson);
}

std::optional<std::uint64_t> Sequence(const Request& request) {
  return ParseNumber(request.Parameter("seq"));
}

Answer AnswerRecord(const AnswerSource& source, const Request& request) {
  const auto seq = Sequence(request);
  if (!seq) return Whole(ErrorResponse(400, "a record's number is expected"));
  const auto record = source.reader.Find(*seq);
  if (!record.ok()) return Whole(ErrorResponse(record.error()));
  if (!record.value()) {
    return Whole(ErrorResponse(404, "there is no record " + std::to_string(*seq)));
  }
  return Whole({.status = 200, .body = record.value()->json + "\n"});
}

Answer AnswerWhy(const AnswerSource& source, const Request& request) {
  const auto seq = Sequence(request);
  if (!seq) return Whole(ErrorResponse(400, "a record's number is expected"));
  const auto explanation = ExplainRecord(source.reader, *seq);
  if (!explanation.ok()) return Whole(ErrorResponse(explanation.error()));
  if (!explanation.value()) {
    return Whole(ErrorResponse(404, "there is no record " + std::to_string(*seq)));
  }
  return Whole({.status = 200, .body = Dump(*explanation.value())});
}

json ReportOf(const journal::ChainReport& report, const std::string& database) {
  json object = {{"intact", report.intact},
                 {"database", database},
                 {"records", report.records},
                 {"first", report.first},
                 {"last", report.last},
                 {"pruned_through", report.pruned_through},
                 {"head", {{"seq", report.head.seq}, {"hash", report.head.hash}}}};
  if (!report.intact) {
    object["bad"] = report.bad;
    object["problem"] = report.problem;
  }
  return object;
}

// The walk goes on step by step, so that other queries get their turn between.
class VerifyPages final : public Pages {
 public:
  VerifyPages(journal::ChainWalk walk, std::string database)
      : walk_(std::move(walk)), database_(std::move(database)) {}
  Result<Piece> Next(journal::Reader& /*reader*/) override {
    const bool done = TRY(walk_.Step(kVerifyRows));
    if (!done) return Piece{};
    return Piece{.text = Dump(ReportOf(walk_.report(), database_)), .end = true};
  }

 private:
  journal::ChainWalk walk_;
  const std::string database_;
};

std::optional<journal::ChainHead> ParseHead(const std::string& text) {
  const std::size_t colon = text.find(':');
  const auto seq = ParseNumber(text.substr(0, colon));
  if (!seq || colon == std::string::npos || text.size() - colon - 1 != 64) return std::nullopt;
  return journal::ChainHead{.seq = *seq, .hash = text.substr(colon + 1)};
}

Answer AnswerVerify(const AnswerSource& source, const Request& request) {
  std::optional<journal::ChainHead> expected = source.head;
  for (const auto& [name, value] : request.query) {
    expected = ParseHead(value);
    if (name != "head") return Whole(ErrorResponse(400, "unknown parameter '" + name + "'"));
    if (!expected) {
      return Whole(ErrorResponse(400, "wrong value for 'head': " + value,
                                 "expected SEQ:HASH as an earlier verify gave it"));
    }
  }
  auto database = journal::OpenForReading(source.database);
  if (!database.ok()) return Whole(ErrorResponse(database.error()));
  auto walk = journal::ChainWalk::Start(std::move(database).value(), std::move(expected));
  if (!walk.ok()) return Whole(ErrorResponse(walk.error()));
  return {.response = {},
          .pages = std::make_unique<VerifyPages>(std::move(walk).value(), source.database)};
}

constexpr std::array kRoutes = {
    AnswerRoute{"/v1/records", AnswerRecords},      AnswerRoute{"/v1/records/:seq", AnswerRecord},
    AnswerRoute{"/v1/records/:seq/why", AnswerWhy}, AnswerRoute{"/v1/audit/verify", AnswerVerify},
    AnswerRoute{"/v1/audit/export", AnswerExport},
};

}  // namespace

std::span<const AnswerRoute> AnswerRoutes() {
  return kRoutes;
}

Response ErrorResponse(const Error& error) {
  const int status = error.code() == EINVAL ? 400 : error.code() == ETIMEDOUT ? 503 : 500;
  return ErrorResponse(status, error.operation(), error.ToString(),
                       error.code() == EBADMSG ? "cellrun audit verify" : "");
}

}  // namespace cellrun::http
