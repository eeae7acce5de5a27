// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/checks.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "broker/approvals/ask_json.h"
#include "broker/exec/asked.h"

namespace cellrun::rooms {
namespace {

using Verdict = CheckAnswer::Verdict;

Error Denied(std::string why) {
  return Error(EACCES, "", std::move(why));
}

}  // namespace

Checks::Checks(const RunChecker& run, journal::Sink& journal, exec::AskedExec& asked, Done done)
    : run_(run),
      journal_(journal),
      asked_(asked),
      done_(std::move(done)),
      self_(std::make_shared<Checks*>(this)) {}

void Checks::Next() {
  if (next_ == asked_.checks->commands.size()) return done_({});
  if (run_ == nullptr) return done_(Denied("nobody is there to run its checker"));
  asked_at_ = std::chrono::steady_clock::now();
  run_(asked_.checks->commands[next_], approvals::ShownJson(asked_.ask) + "\n",
       [weak = std::weak_ptr(self_)](const Result<std::string>& printed) {
         if (const auto self = weak.lock()) (*self)->OnPrinted(printed);
       });
}

void Checks::OnPrinted(const Result<std::string>& printed) {
  Result<CheckAnswer> answer =
      printed.ok() ? ParseCheckAnswer(*printed) : Result<CheckAnswer>(printed.error());
  const std::string failure =
      answer.ok() ? "" : "the checker gives no answer: " + answer.error().context();
  const std::string reason = answer.ok() ? answer->reason : failure;
  const char* const name = answer.ok() ? CheckVerdictName(answer->verdict) : "failed";
  const Result<void> applied = answer.ok() ? Apply(std::move(*answer)) : Denied(failure);
  const bool recorded =
      Record(name, applied.ok() ? reason : applied.error().context(), !applied.ok());
  if (!applied.ok()) return done_(applied.error());
  if (!recorded) return done_(Denied("what its checker says cannot be recorded"));
  ++next_;
  Next();
}

Result<void> Checks::Apply(CheckAnswer answer) {
  const std::string said = answer.reason.empty() ? "" : ": " + answer.reason;
  switch (answer.verdict) {
    case Verdict::kAllow:
      return {};
    case Verdict::kAsk:
      NeedPerson("a checker wants a person to decide" + said);
      return {};
    case Verdict::kDeny:
      return Denied(answer.reason.empty() ? "a checker denied it" : answer.reason);
    case Verdict::kRewrite:
      TRY(Rewrite(std::move(answer.argv)));
      if (!asked_.allowed) NeedPerson("a checker changed the arguments" + said);
      return {};
  }
  return Denied("its answer is not known");
}

Result<void> Checks::Rewrite(std::vector<std::string> argv) {
  if (argv == asked_.ask.argv) return {};
  const Result<void> replaced = exec::ReplaceArguments(asked_, std::move(argv));
  if (!replaced.ok())
    return Denied("a checker's arguments cannot be taken: " + replaced.error().context());
  if (TRY(exec::JudgeReplaced(asked_)) && asked_.allowed)
    NeedPerson("a checker changed the arguments, and the rule does not cover that");
  return {};
}

// No rule can remember an answer to what a checker asks, or has changed.
void Checks::NeedPerson(const std::string& why) {
  asked_.allowed = false;
  asked_.ask.rememberable = false;
  asked_.ask.risks.push_back(why);
}

bool Checks::Record(const char* answer, const std::string& reason, bool denied) {
  const auto after = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - asked_at_);
  journal::Record record =
      journal::RecordNow(journal::Kind::kAsk, asked_.record.cell, asked_.record.pid,
                         asked_.record.uid, asked_.record.user);
  record.exe = asked_.ask.program;
  record.argv = asked_.ask.argv;
  record.cwd = asked_.ask.cwd;
  record.rule = asked_.ask.rule;
  record.verdict = asked_.allowed ? policy::Action::kAllow : policy::Action::kAsk;
  if (denied) record.verdict = policy::Action::kDeny;
  record.reason = reason;
  record.result = "checked";
  record.redact = asked_.record.redact;
  record.detail = nlohmann::json({{"check", asked_.checks->commands[next_]},
                                  {"answer", answer},
                                  {"after_ms", after.count()}})
                      .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
  return journal_.Append(std::move(record)) != 0;
}

}  // namespace cellrun::rooms
