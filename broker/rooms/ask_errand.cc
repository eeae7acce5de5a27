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

AskErrand::AskErrand(std::shared_ptr<exec::AskedExec> asked,
                     std::shared_ptr<const exec::ShelvedExec> shelved)
    : asked_(std::move(asked)),
      shelved_(std::move(shelved)),
      self_(std::make_shared<AskErrand*>(this)) {}

AskErrand::~AskErrand() {
  Withdraw();
}

void AskErrand::Begin(Room& room) {
  if (shelved_ != nullptr) return Submit(room);
  if (!asked_->allowed && asked_->ask.timeout.count() <= 0) return DenyUnheard(room);
  room.rooms().Examine(asked_, [&room, weak = std::weak_ptr(self_)](Rooms::Examined examined) {
    const auto self = weak.lock();
    if (!self) return;
    if (!examined.ok()) return (*self)->DenyBecause(room, examined.error().context());
    (*self)->copy_ = std::move(examined.value());
    (*self)->Check(room);
  });
}

exec::AskedExec& AskErrand::Asked() {
  if (shelved_ != nullptr) {
    asked_ = shelved_->Restore();
    shelved_.reset();
  }
  return *asked_;
}

// What Checks looks at stays where it is.
approvals::PackedAsk AskErrand::Shelve() {
  if (shelved_ != nullptr) return shelved_->ask();
  approvals::PackedAsk packed(asked_->ask);
  if (checks_ == nullptr && exec::ShelvedExec::CanHold(*asked_)) {
    shelved_ = std::make_shared<const exec::ShelvedExec>(*asked_, packed);
    asked_.reset();
  }
  return packed;
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
  if (asked_ != nullptr && asked_->ask.timeout.count() <= 0) return DenyUnheard(room);
  approvals::Queue& queue = room.rooms().services().approvals;
  approvals::Queue::Submission submission = queue.Submit(
      Shelve(), [&room, weak = std::weak_ptr(self_)](const approvals::Decision& decision) {
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
  exec::AskedExec& asked = Asked();
  Result<std::vector<std::string>> argv = exec::ArgumentsToRun(asked, decision.argv);
  if (!argv.ok()) {
    decided_ = false;
    return DenyBecause(room, "the edited arguments name another script than the one shown");
  }
  SetResult(room, "approved");
  if (asked.ask.strategy != policy::Strategy::kInPlace) {
    asked.sealed.ask = id_;
    asked.sealed.argv = std::move(*argv);
    if (copy_ != nullptr) asked.read_copy = [copy = copy_] { return copy->Read(); };
    return room.HandOver(asked_);
  }
  auto sealed = std::make_shared<exec::Sealed>(asked.sealed);
  refusal_ = sealed->refusal;
  sealed->ask = id_;
  sealed->argv = std::move(*argv);
  const bool own_arguments = sealed->argv == asked.record.argv;
  room.Execute({.program = sealed->program,
                .argv = own_arguments ? nullptr : &sealed->argv,
                .env = asked.own_environment ? nullptr : &asked.environment},
               sealed);
}

void AskErrand::Deny(Room& room, const approvals::Decision& decision) {
  exec::AskedExec& asked = Asked();
  journal::Record& record = asked.record;
  record.result = "denied";
  record.reason = exec::AskDenialReason(decision);
  SetResult(room, "denied");
  room.waiter().desk->Deny(record, asked.seq);
  room.Leave(exec::AskDenialText(asked.original_program, record.argv, asked.ask, decision));
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
  room.Execute({.program = Asked().original_program, .argv = nullptr, .env = nullptr}, nullptr);
}

void AskErrand::OnLeft(Room& room) {
  Withdraw();
  if (decided_ && copy_ != nullptr) room.rooms().KeepFor(room.waiter(), std::move(copy_));
  room.waiter().desk->Grant(room.waiter().pid, room.waiter().ticket, nullptr);
  if (!decided_) SetResult(room, "withdrawn");
}

void AskErrand::SetResult(Room& room, const char* result) {
  if (Asked().seq != 0) room.rooms().services().journal.SetResult(Asked().seq, result);
}

void AskErrand::Withdraw() {
  if (queue_ != nullptr) queue_->Withdraw(waiter_);
  queue_ = nullptr;
}

}  // namespace cellrun::rooms
