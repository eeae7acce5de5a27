// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/routes.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "broker/approvals/answer_reader.h"
#include "broker/approvals/ask_json.h"
#include "broker/approvals/list_query.h"
#include "broker/approvals/list_stream.h"
#include "broker/approvals/past.h"
#include "broker/approvals/rule_text.h"
#include "broker/approvals/terminal.h"
#include "broker/http/answers.h"
#include "broker/http/workers.h"

namespace cellrun::approvals {
namespace {

using http::ErrorResponse;
using http::Request;
using http::Response;

Response AskResponse(const Entry& entry) {
  return {.status = 200,
          .body = AskJson(entry, Detail::kWhole, std::chrono::steady_clock::now()) + "\n"};
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
      return ErrorResponse(
          409, "this cannot be remembered",
          "what the floor, the workspace or a checker asks about, what several must "
          "approve, and what a program of the cell has proposed, is asked each time",
          "answer with scope once");
    case Book::Refusal::kNotEditable:
      return ErrorResponse(409, "this cannot be edited",
                           "an edited command is approved once, by one person");
  }
  return ErrorResponse(500, "the answer was not understood");
}

Approver ApproverOf(const Request& request) {
  return {
      .uid = request.peer.uid, .pid = request.peer.pid, .terminal = TerminalOf(request.peer.pid)};
}

std::string Dump(const nlohmann::json& value) {
  return value.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
}

nlohmann::json RuleObject(const Rule& rule, std::uint64_t used) {
  return {{"id", rule.id},
          {"scope", ScopeName(rule.scope)},
          {"cell", rule.cell_name},
          {"cell_id", rule.cell_id},
          {"workspace", rule.workspace},
          {"verdict", policy::ActionName(rule.verdict)},
          {"exe", rule.exe},
          {"rule", rule.text},
          {"created", ExpiryText(rule.created)},
          {"expires", rule.expires ? nlohmann::json(ExpiryText(*rule.expires)) : nlohmann::json()},
          {"by", rule.by},
          {"ask", rule.ask},
          {"used", used}};
}

class AskRoutes final : public Routes {
 public:
  AskRoutes(loop::Loop& loop, Approvals& approvals, const journal::Journal& journal)
      : loop_(loop), approvals_(approvals), workers_(journal.path(), 1) {}

  void Register(http::Router& router) override {
    const auto add = [&](const char* method, const char* pattern,
                         void (AskRoutes::*handler)(const Request&, const http::Responder&)) {
      router.AddAsync(method, pattern,
                      [this, handler](const Request& request, const http::Responder& responder) {
                        approvals_.Look();
                        (this->*handler)(request, responder);
                      });
    };
    add("GET", "/v1/approvals", &AskRoutes::List);
    add("GET", "/v1/approvals/:id", &AskRoutes::Show);
    add("POST", "/v1/approvals/:id", &AskRoutes::TakeAnswer);
    add("POST", "/v1/approvals/:id/preview", &AskRoutes::Preview);
    add("GET", "/v1/approval-rules", &AskRoutes::ListRules);
    add("DELETE", "/v1/approval-rules/:id", &AskRoutes::Revoke);
  }

 private:
  void List(const Request& request, const http::Responder& responder) {
    ListQuery query;
    if (auto refusal = ReadListQuery(request, query)) return responder.Send(std::move(*refusal));
    responder.Stream({.status = 200, .body = {}, .content_type = "application/x-ndjson"},
                     MakeListStream(loop_, approvals_, std::move(query)));
  }

  void Show(const Request& request, const http::Responder& responder) {
    const std::string id = request.Parameter("id");
    if (approvals_.book().Ambiguous(id)) return responder.Send(Ambiguous(id));
    if (const Entry* entry = approvals_.book().Find(id)) return responder.Send(AskResponse(*entry));
    approvals_.store().FindOne(id, [id, responder](Result<std::optional<Store::Row>> row) {
      if (!row.ok()) return responder.Send(http::ErrorResponse(row.error()));
      if (!*row) return responder.Send(Unknown(id));
      responder.Send({.status = 200, .body = row.value()->json + "\n"});
    });
  }

  void TakeAnswer(const Request& request, const http::Responder& responder) {
    Result<Answer> answer = ReadAnswer(request.body);
    if (!answer.ok()) {
      return responder.Send(ErrorResponse(400, "not an answer", answer.error().context()));
    }
    std::string id = request.Parameter("id");
    if (approvals_.book().Ambiguous(id)) return responder.Send(Ambiguous(id));
    if (const Entry* entry = approvals_.book().Find(id)) id = entry->id;
    const Approvals::Outcome outcome = approvals_.Take(id, *answer, ApproverOf(request));
    if (outcome.refusal == Book::Refusal::kUnknown) return TellPast(id, responder);
    if (outcome.refusal != Book::Refusal::kNone) {
      return responder.Send(RefusalResponse(outcome, id));
    }
    if (!outcome.problem.empty()) return responder.Send(ErrorResponse(409, outcome.problem));
    responder.Send(AskResponse(*outcome.entry));
  }

  // It may be over for so long that only the store knows it.
  void TellPast(const std::string& id, const http::Responder& responder) {
    approvals_.store().FindOne(id, [id, responder](Result<std::optional<Store::Row>> row) {
      if (!row.ok()) return responder.Send(http::ErrorResponse(row.error()));
      if (!*row) return responder.Send(Unknown(id));
      const auto ask = nlohmann::json::parse(row.value()->json, nullptr, false);
      Book::Past past{.state = row.value()->state, .by = "", .next = "", .cell = "", .program = ""};
      if (ask.is_object() && ask.contains("answer")) past.by = ask["answer"].value("by", "");
      responder.Send(Over(id, past));
    });
  }

  void Preview(const Request& request, const http::Responder& responder) {
    Result<Answer> answer = ReadAnswer(request.body);
    if (!answer.ok()) {
      return responder.Send(ErrorResponse(400, "not an answer", answer.error().context()));
    }
    const std::string id = request.Parameter("id");
    const Entry* entry = approvals_.book().Find(id);
    if (entry == nullptr) return TellPast(id, responder);
    if (answer->digest != entry->digest) {
      return responder.Send(ErrorResponse(409, "the ask has changed", "it is not what was shown",
                                          "cellrun approvals show " + id));
    }
    const auto proposal = Approvals::Propose(*entry, *answer, ApproverOf(request), "(new)");
    if (!proposal.ok()) {
      return responder.Send(
          ErrorResponse(409, "this cannot be remembered", proposal.error().context()));
    }
    nlohmann::json body = {
        {"rule", proposal->text},
        {"scope", ScopeName(answer->scope)},
        {"file", approvals_.rules().FileOf(answer->scope, entry->ask->workspace)},
        {"expires",
         proposal->expires ? nlohmann::json(ExpiryText(*proposal->expires)) : nlohmann::json()}};
    workers_.Run([ask = entry->ask, scope = answer->scope, body = std::move(body),
                  responder](Result<journal::Reader>& reader) mutable {
      if (!reader.ok()) return responder.Send(http::ErrorResponse(reader.error()));
      const auto matches = FindMatches(*reader, *ask, scope);
      if (!matches.ok()) return responder.Send(http::ErrorResponse(matches.error()));
      body["matches"] = nlohmann::json::array();
      for (const Match& match : matches->newest) {
        body["matches"].push_back({{"seq", match.seq}, {"time", match.time}, {"argv", match.argv}});
      }
      body["matches_total"] = matches->total;
      responder.Send({.status = 200, .body = Dump(body)});
    });
  }

  void ListRules(const Request& request, const http::Responder& responder) {
    if (!request.query.empty()) {
      return responder.Send(
          ErrorResponse(400, "unknown parameter '" + request.query[0].first + "'"));
    }
    std::vector<Rule> rules;
    for (const auto& [id, rule] : approvals_.rules().all()) rules.push_back(rule);
    std::sort(rules.begin(), rules.end(),
              [](const Rule& a, const Rule& b) { return a.created < b.created; });
    workers_.Run([rules = std::move(rules), responder](Result<journal::Reader>& reader) {
      if (!reader.ok()) return responder.Send(http::ErrorResponse(reader.error()));
      const auto uses = CountUses(*reader);
      if (!uses.ok()) return responder.Send(http::ErrorResponse(uses.error()));
      std::string body;
      for (const Rule& rule : rules) {
        const auto used = uses->find(rule.id);
        body += Dump(RuleObject(rule, used == uses->end() ? 0 : used->second));
      }
      responder.Send(
          {.status = 200, .body = std::move(body), .content_type = "application/x-ndjson"});
    });
  }

  void Revoke(const Request& request, const http::Responder& responder) {
    const std::string id = request.Parameter("id");
    const auto rule = approvals_.Revoke(id, ApproverOf(request));
    if (!rule) {
      return responder.Send(ErrorResponse(404, "there is no remembered rule " + id,
                                          "an id or the beginning of only one is expected",
                                          "cellrun approvals rules"));
    }
    responder.Send({.status = 200, .body = Dump(RuleObject(*rule, 0))});
  }

  loop::Loop& loop_;
  Approvals& approvals_;
  http::Workers workers_;
};

}  // namespace

std::unique_ptr<Routes> Routes::Make(loop::Loop& loop, Approvals& approvals,
                                     const journal::Journal& journal) {
  return std::make_unique<AskRoutes>(loop, approvals, journal);
}

}  // namespace cellrun::approvals
