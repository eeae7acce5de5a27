// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/ask_errand.h"

#include <utility>

#include "broker/exec/asked.h"
#include "broker/exec/denial_text.h"
#include "broker/rooms/rooms.h"
#include "broker/rooms/waiting_text.h"
#include "lib/base/text.h"

namespace cellrun::rooms {
namespace {

constexpr int kNotFound = 127;

}  // namespace

AskErrand::AskErrand(std::shared_ptr<exec::AskedExec> asked)
    : asked_(std::move(asked)), self_(std::make_shared<AskErrand*>(this)) {}

AskErrand::~AskErrand() {
  Withdraw();
}

void AskErrand::Begin(Room& room) {
  if (!asked_->allowed && asked_->ask.timeout.count() <= 0) return DenyUnheard(room);
  room.rooms().Examine(asked_, [&room, weak = std::weak_ptr(self_)](Rooms::Examined examined) {
    const auto self = weak.lock();
    if (!self) return;
    if (!examined.ok()) return (*self)->DenyBecause(room, examined.error().context());
    (*self)->copy_ = std::move(examined.value());
    (*self)->Check(room);
  });
}

void AskErrand::Check(Room& room) {
  if (!asked_->checks.has_value()) return Submit(room);
  const Rooms::Services& services = room.rooms().services();
  checks_ = std::make_unique<Checks>(
      services.check, services.journal, *asked_, [this, &room](const Result<void>& passed) {
        if (!passed.ok())
          return DenyBecause(room, passed.error().context(), exec::kCheckerAnswered);
        if (!asked_->allowed) return Submit(room);
        approvals::Decision decision;
        decision.state = approvals::State::kApproved;
        decision.argv = asked_->ask.argv;
        decision.by = exec::kCheckerAnswered;
        Decide(room, decision);
      });
  checks_->Begin();
}

void AskErrand::DenyBecause(Room& room, std::string why, const char* by) {
  approvals::Decision decision;
  decision.reason = std::move(why);
  decision.by = by;
  Decide(room, decision);
}

void AskErrand::DenyUnheard(Room& room) {
  approvals::Decision nobody;
  nobody.by = "no approver";
  Decide(room, nobody);
}

void AskErrand::Submit(Room& room) {
  if (asked_->ask.timeout.count() <= 0) return DenyUnheard(room);
  const approvals::Ask& ask = asked_->ask;
  approvals::Queue& queue = room.rooms().services().approvals;
  approvals::Queue::Submission submission =
      queue.Submit(ask, [&room, weak = std::weak_ptr(self_)](const approvals::Decision& decision) {
        const auto self = weak.lock();
        if (!self) return;
        (*self)->queue_ = nullptr;
        (*self)->Decide(room, decision);
      });
  if (submission.refusal.has_value()) return Decide(room, *submission.refusal);
  queue_ = &queue;
  waiter_ = submission.waiter;
  id_ = std::move(submission.id);
  room.Wait(WaitingText(id_, submission.left), submission.left);
}

void AskErrand::Decide(Room& room, const approvals::Decision& decision) {
  if (decided_) return;
  decided_ = true;
  if (decision.state == approvals::State::kApproved) {
    Approve(room, decision);
  } else {
    Deny(room, decision);
  }
}

void AskErrand::Approve(Room& room, const approvals::Decision& decision) {
  Result<std::vector<std::string>> argv = exec::ArgumentsToRun(*asked_, decision.argv);
  if (!argv.ok()) {
    decided_ = false;
    return DenyBecause(room, "the edited arguments name another script than the one shown");
  }
  SetResult(room, "approved");
  if (asked_->ask.strategy != policy::Strategy::kInPlace) {
    asked_->sealed.ask = id_;
    asked_->sealed.argv = std::move(*argv);
    if (copy_ != nullptr) asked_->read_copy = [copy = copy_] { return copy->Read(); };
    return room.HandOver(asked_);
  }
  auto sealed = std::make_shared<exec::Sealed>(asked_->sealed);
  refusal_ = sealed->refusal;
  sealed->ask = id_;
  sealed->argv = std::move(*argv);
  const bool own_arguments = sealed->argv == asked_->record.argv;
  room.Execute({.program = sealed->program,
                .argv = own_arguments ? nullptr : &sealed->argv,
                .env = asked_->own_environment ? nullptr : &asked_->environment},
               sealed);
}

void AskErrand::Deny(Room& room, const approvals::Decision& decision) {
  journal::Record& record = asked_->record;
  record.result = "denied";
  record.reason = exec::AskDenialReason(decision);
  SetResult(room, "denied");
  room.waiter().desk->Deny(record, asked_->seq);
  room.Leave(exec::AskDenialText(asked_->original_program, record.argv, asked_->ask, decision));
}

void AskErrand::OnExecFailed(Room& room, int code) {
  if (!decided_) return room.Leave("cellrun: denied: it has not been approved\n");
  const std::optional<std::string> why = refusal_ == nullptr ? std::nullopt : refusal_->Take();
  if (why.has_value()) return AskAnew(room, *why);
  room.Leave("cellrun: the approved command could not be executed: " + ErrnoText(code) + "\n",
             code == ENOENT ? kNotFound : exec::kDeniedStatus);
}

// The process makes the exec that brought it here once more: judged like any other, it is asked
// about as it is now, or refused.
void AskErrand::AskAnew(Room& room, const std::string& why) {
  refusal_ = nullptr;
  room.Wait("cellrun: not run: " + text::EscapeShort(why, kMaxReasonBytes) +
                " since it was shown; asking again\n",
            std::chrono::milliseconds(0));
  room.Execute({.program = asked_->original_program, .argv = nullptr, .env = nullptr}, nullptr);
}

void AskErrand::OnLeft(Room& room) {
  Withdraw();
  if (decided_ && copy_ != nullptr) room.rooms().KeepFor(room.waiter(), std::move(copy_));
  room.waiter().desk->Grant(room.waiter().pid, room.waiter().ticket, nullptr);
  if (!decided_) SetResult(room, "withdrawn");
}

void AskErrand::SetResult(Room& room, const char* result) {
  if (asked_->seq != 0) room.rooms().services().journal.SetResult(asked_->seq, result);
}

void AskErrand::Withdraw() {
  if (queue_ != nullptr) queue_->Withdraw(waiter_);
  queue_ = nullptr;
}

}  // namespace cellrun::rooms
