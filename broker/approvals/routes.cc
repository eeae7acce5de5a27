// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/routes.h"

#include <string>

#include "broker/approvals/answer_reader.h"
#include "broker/approvals/ask_json.h"
#include "broker/approvals/list_query.h"
#include "broker/approvals/list_stream.h"
#include "broker/approvals/terminal.h"

namespace cellrun::approvals {
namespace {

using http::ErrorResponse;
using http::Request;
using http::Response;

Response AskResponse(const Entry& entry) {
  return {.status = 200,
          .body = AskJson(entry, Detail::kWhole, std::chrono::steady_clock::now()) + "\n"};
}

void List(Approvals& approvals, const Request& request, const http::Responder& responder) {
  ListQuery query;
  if (auto refusal = ReadListQuery(request, query)) return responder.Send(std::move(*refusal));
  responder.Stream({.status = 200, .body = {}, .content_type = "application/x-ndjson"},
                   MakeListStream(approvals, std::move(query)));
}

Response Unknown(const std::string& id) {
  return ErrorResponse(404, "there is no ask " + id, "", "cellrun approvals list");
}

Response Over(const std::string& id, const Book::Past& past) {
  std::string cause = "it is " + std::string(StateName(past.state)) + ": " + past.by;
  std::string suggest;
  if (!past.next.empty()) {
    cause += "; processes that asked the same wait as " + past.next;
    suggest = "cellrun approvals show " + past.next;
  }
  return ErrorResponse(409, "the ask " + id + " is over", cause, suggest);
}

Response Ambiguous(const std::string& id) {
  return ErrorResponse(409, "several asks begin with " + id, "", "give more digits");
}

Response Show(Approvals& approvals, const Request& request) {
  const std::string id = request.Parameter("id");
  if (approvals.book().Ambiguous(id)) return Ambiguous(id);
  const Entry* entry = approvals.book().Find(id);
  return entry != nullptr ? AskResponse(*entry) : Unknown(id);
}

Response RefusalResponse(const Approvals::Outcome& outcome, const std::string& id) {
  switch (outcome.refusal) {
    case Book::Refusal::kNone:
      break;
    case Book::Refusal::kUnknown:
      return Unknown(id);
    case Book::Refusal::kOver:
      return Over(id, *outcome.past);
    case Book::Refusal::kChanged:
      return ErrorResponse(409, "the ask has changed", "it is not what was shown; nothing runs",
                           "cellrun approvals show " + id);
    case Book::Refusal::kSamePerson:
      return ErrorResponse(409, "you have approved this already", "another person is needed");
    case Book::Refusal::kNotRememberable:
      return ErrorResponse(409, "this cannot be remembered",
                           "the floor or the workspace asks, and asks each time",
                           "answer with scope once");
    case Book::Refusal::kNotEditable:
      return ErrorResponse(409, "this cannot be edited",
                           "an edited command is approved once, by one person");
  }
  return ErrorResponse(500, "the answer was not understood");
}

Response TakeAnswer(Approvals& approvals, const Request& request) {
  Result<Answer> answer = ReadAnswer(request.body);
  if (!answer.ok()) return ErrorResponse(400, "not an answer", answer.error().context());
  std::string id = request.Parameter("id");
  if (approvals.book().Ambiguous(id)) return Ambiguous(id);
  if (const Entry* entry = approvals.book().Find(id)) id = entry->id;
  const Approver approver{
      .uid = request.peer.uid, .pid = request.peer.pid, .terminal = TerminalOf(request.peer.pid)};
  const Approvals::Outcome outcome = approvals.Take(id, *answer, approver);
  if (outcome.refusal != Book::Refusal::kNone) return RefusalResponse(outcome, id);
  if (!outcome.problem.empty()) return ErrorResponse(503, outcome.problem);
  return AskResponse(*outcome.entry);
}

}  // namespace

void RegisterRoutes(http::Router& router, Approvals& approvals) {
  router.AddAsync("GET", "/v1/approvals",
                  [&approvals](const Request& request, const http::Responder& responder) {
                    List(approvals, request, responder);
                  });
  router.Add("GET", "/v1/approvals/:id",
             [&approvals](const Request& request) { return Show(approvals, request); });
  router.Add("POST", "/v1/approvals/:id",
             [&approvals](const Request& request) { return TakeAnswer(approvals, request); });
}

}  // namespace cellrun::approvals
