// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "broker/http/answers.h"
#include "broker/http/head.h"
#include "broker/http/records.h"
#include "lib/sys/file.h"

namespace cellrun::http {
namespace {

bool Print(const UniqueFd& out, std::string_view text) {
  return sys::WriteAll(out, text).ok();
}

bool PrintPages(const UniqueFd& out, journal::Reader& reader, Pages& pages) {
  for (;;) {
    const Result<Pages::Piece> piece = pages.Next(reader);
    if (!piece.ok()) return Print(out, ErrorResponse(piece.error()).body);
    if (!Print(out, piece->text)) return false;
    if (piece->end) return true;
  }
}

Answer AnswerOne(Request request, Result<journal::Reader>& reader, const std::string& database) {
  if (!reader.ok()) return {.response = ErrorResponse(reader.error()), .pages = nullptr};
  Router router;
  Response refusal;
  const AnswerRoute* chosen = nullptr;
  for (const AnswerRoute& route : AnswerRoutes()) {
    router.AddAsync("GET", route.pattern,
                    [&chosen, &route](const Request&, const Responder&) { chosen = &route; });
  }
  const AsyncHandler* const handler = router.Find(request, refusal);
  if (handler == nullptr) return {.response = std::move(refusal), .pages = nullptr};
  (*handler)(request, Responder(nullptr));
  return chosen->answer({reader.value(), database, {}}, request);
}

bool PrintAnswer(const UniqueFd& out, const std::string& database, const std::string& target) {
  const auto parsed = ParseTarget(target);
  Answer answer{.response = ErrorResponse(400, "the target is malformed"), .pages = nullptr};
  Result<journal::Reader> reader = journal::Reader::Open(database);
  if (parsed) {
    Request request;
    request.method = "GET";
    request.path = parsed->path;
    request.query = parsed->query;
    answer = AnswerOne(std::move(request), reader, database);
  }
  if (!Print(out, std::to_string(answer.response.status) + "\n")) return false;
  if (answer.pages == nullptr) return Print(out, answer.response.body);
  return PrintPages(out, reader.value(), *answer.pages);
}

}  // namespace

int AnswerOffline(const std::string& database, const std::string& target) {
  UniqueFd out(STDOUT_FILENO);
  bool printed = false;
  try {
    printed = PrintAnswer(out, database, target);
  } catch (const std::exception& error) {
    printed = Print(out, ErrorResponse(500, "the query failed", error.what()).body);
  }
  (void)out.Release();  // not ours to close
  return printed ? 0 : 1;
}

}  // namespace cellrun::http
