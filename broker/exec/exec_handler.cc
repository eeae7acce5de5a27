// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/exec_handler.h"

#include <chrono>
#include <utility>

#include "broker/exec/channel.h"
#include "broker/exec/exec_call.h"
#include "broker/exec/shelved_exec.h"
#include "broker/exec/task.h"
#include "broker/exec/tracee.h"
#include "broker/exec/verify.h"
#include "lib/base/log.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/sys/seccomp.h"

namespace cellrun::exec {
namespace {

// For an exec to reach its stop or to fail: it may read a cold, slow disk.
constexpr std::chrono::seconds kExecLimit{30};

// What an exec that never committed returned.
std::string FailureOf(const Tracee& tracee) {
  const Result<user_regs_struct> registers = tracee.Registers();
  if (!registers.ok()) return "failed";
  const auto returned = static_cast<std::int64_t>(registers->rax);
  if (returned <= -512 && returned >= -516) return "failed:EINTR";  // it will be made again
  if (returned >= 0 || returned < -4095) return "failed";
  return "failed:" + ErrnoName(static_cast<int>(-returned));
}

// Brings one exec that was continued to its end; what to record of it.
std::string SeeThrough(Tracee& tracee, const Tracee::Stop& stop, const Expectation& expected,
                       notify::Lane& lane, notify::Tally& tally) {
  switch (stop.kind) {
    case Tracee::Stop::Kind::kExec: {
      const Result<void> verified = VerifyExec(tracee, expected, lane.memory());
      if (verified.ok()) {
        tracee.Detach(0);
        return "ran";
      }
      const Result<user_regs_struct> still_there = tracee.Registers();
      if (!still_there.ok() && still_there.error().code() == ESRCH) break;  // killed in its stop
      if (tally.mismatches++ == 0) {  // the journal has every one; a cell could fill the log
        log::Warn("an exec was not what was judged",
                  {{"pid", tracee.pid()}, {"difference", verified.error().operation()}});
      }
      tracee.Kill();
      return "mismatch";
    }
    case Tracee::Stop::Kind::kTrap:
    case Tracee::Stop::Kind::kSignal: {
      std::string failure = FailureOf(tracee);
      tracee.Detach(stop.signal);
      return failure;
    }
    case Tracee::Stop::Kind::kGone:
      return "failed";
    case Tracee::Stop::Kind::kSyscall:
    case Tracee::Stop::Kind::kOverdue:
    case Tracee::Stop::Kind::kStopping:
      break;
  }
  tracee.Kill();
  return "failed";
}

}  // namespace

ExecHandler::ExecHandler(const notify::CellFacts& facts, const notify::Listener& listener,
                         Resolver resolver, notify::DenialLog& denials, notify::Tally& tally)
    : facts_(facts),
      listener_(listener),
      denials_(denials),
      tally_(tally),
      attachments_(facts.shared_places),
      judge_(facts, listener, std::move(resolver), tickets_),
      redirector_(facts, listener, attachments_, tickets_) {}

void ExecHandler::ReplacePolicy(std::shared_ptr<const policy::Policy> policy) {
  judge_.ReplacePolicy(std::move(policy));
}

void ExecHandler::Handle(const seccomp_notif& notification, notify::Lane& lane) {
  if (attachments_.Take(notification)) {
    // CONTINUE-SITE(redirect, class d): the thread that is attached to the task compares what is
    // executed with the shim before its first instruction, and kills the task otherwise. Gone: it
    // learns that too.
    (void)sys::SeccompContinue(listener_.fd(), notification.id);
    return;
  }
  Judgement judgement = judge_.Decide(notification, lane);
  switch (judgement.answer) {
    case Judgement::Answer::kGone:
      // Should it be there after all, it must not wait for ever.
      return listener_.Refuse(notification.id, EACCES);
    case Judgement::Answer::kMissing:
      ++tally_.missing;
      return listener_.Refuse(notification.id, judgement.error);
    case Judgement::Answer::kRefuse:
      return Refuse(notification, judgement, lane);
    case Judgement::Answer::kAnswerCheck:
      return AnswerCheck(notification, judgement, lane);
    case Judgement::Answer::kRunFreely:
      return RunFreely(notification, judgement, lane);
    case Judgement::Answer::kRun:
    case Judgement::Answer::kExplain:
    case Judgement::Answer::kRewrite:
    case Judgement::Answer::kAsk:
      return Attach(notification, std::move(judgement), lane);
  }
}

ExecHandler::Recorded ExecHandler::Record(const Judgement& judgement, notify::Lane& lane) {
  Recorded recorded{.kept = true, .seq = 0};
  if (judgement.verdict.audit) {
    if (judgement.record.sync) (void)lane.EnsureReceiver();  // this one may wait for the disk
    recorded.seq = facts_.journal->Append(judgement.record);
    recorded.kept = recorded.seq != 0;
  }
  switch (judgement.record.verdict) {
    case policy::Action::kAllow:
      if (recorded.kept) ++tally_.allowed;
      return recorded;
    case policy::Action::kAsk:
      ++tally_.asked;
      if (judgement.answer == Judgement::Answer::kAsk) return recorded;  // not denied yet
      break;
    case policy::Action::kDeny:
      ++tally_.denied;
      break;
  }
  denials_.Add(judgement.record, recorded.seq);
  return recorded;
}

void ExecHandler::SetResult(const Recorded& recorded, std::string result) {
  if (recorded.seq != 0) facts_.journal->SetResult(recorded.seq, std::move(result));
}

// What cannot be recorded does not happen.
void ExecHandler::RefuseUnrecordable(const seccomp_notif& notification) {
  ++tally_.denied;
  log::Warn("an exec is denied because the journal cannot record it", {{"cell", facts_.cell_id}});
  listener_.Refuse(notification.id, EACCES);
}

void ExecHandler::Refuse(const seccomp_notif& notification, const Judgement& judgement,
                         notify::Lane& lane) {
  (void)Record(judgement, lane);  // denied either way
  listener_.Refuse(notification.id, judgement.error != 0 ? judgement.error : EACCES);
}

void ExecHandler::AnswerCheck(const seccomp_notif& notification, const Judgement& judgement,
                              notify::Lane& lane) {
  if (!Record(judgement, lane).kept) return RefuseUnrecordable(notification);
  listener_.Return(notification.id, 0);
}

void ExecHandler::RunFreely(const seccomp_notif& notification, const Judgement& judgement,
                            notify::Lane& lane) {
  const Recorded recorded = Record(judgement, lane);
  if (!recorded.kept) return RefuseUnrecordable(notification);
  // CONTINUE-SITE(unjudged-exec, class c): the policy allows every image with every argument and
  // environment, so another path or argument gets the same verdict; the record may be wrong.
  (void)sys::SeccompContinue(listener_.fd(), notification.id);
  SetResult(recorded, "started");
}

void ExecHandler::Attach(const seccomp_notif& notification, Judgement judgement,
                         notify::Lane& lane) {
  const Result<pid_t> tgid = ThreadGroup(static_cast<pid_t>(notification.pid));
  if (!tgid.ok()) {
    // Only a task that is gone has no group.
    return listener_.Refuse(notification.id, EACCES);
  }
  switch (attachments_.Enter(notification, tgid.value())) {
    case Attachments::Entry::kPutAside:
      // And judged again; only then is a ticket used up.
      if (judgement.ticket.has_value()) tickets_.Add(tgid.value(), std::move(*judgement.ticket));
      return;
    case Attachments::Entry::kRestart:
      return listener_.Refuse(notification.id, Attachments::kRestartCall);
    case Attachments::Entry::kRefuse:
      ++tally_.denied;
      return listener_.Refuse(notification.id, EACCES);
    case Attachments::Entry::kEntered:
      break;
  }
  judgement.record.pid = tgid.value();
  if (judgement.answer == Judgement::Answer::kRun) {
    RunVerified(notification, tgid.value(), judgement, lane);
  } else {
    Redirect(notification, tgid.value(), std::move(judgement), lane);
  }
  attachments_.Leave(tgid.value());
}

void ExecHandler::RunVerified(const seccomp_notif& notification, pid_t tgid,
                              const Judgement& judgement, notify::Lane& lane) {
  const Recorded recorded = Record(judgement, lane);
  if (!recorded.kept) return RefuseUnrecordable(notification);
  (void)lane.EnsureReceiver();  // none: the others wait for the end of this one
  Result<Tracee> tracee = Tracee::Seize(static_cast<pid_t>(notification.pid), tgid, lane);
  if (!tracee.ok()) {
    // EPERM: a tracer inside the cell has it. What cannot be verified does not run.
    SetResult(recorded, "denied");
    --tally_.allowed;
    ++tally_.denied;
    return listener_.Refuse(notification.id, EACCES);
  }
  const Expectation expected{.image = judgement.image,
                             .argv = &judgement.final_argv,
                             .env = &judgement.request.env,
                             .working_directory = &judgement.working_directory,
                             .directory_id = judgement.directory_id,
                             .image_hash = judgement.image_hash};
  // CONTINUE-SITE(verified-exec, class d): what was executed is compared with what was judged in
  // the exec stop, before its first instruction. An id that is gone: there is nothing to wait for,
  // and SeeThrough lets the task go.
  (void)sys::SeccompContinue(listener_.fd(), notification.id);
  // After the answer: before it, the call itself could be interrupted.
  tracee->Interrupt();
  for (const std::uint64_t id : attachments_.Advance(tgid, Attachments::Stage::kInterrupted)) {
    listener_.Refuse(id, Attachments::kRestartCall);
  }
  const Tracee::Stop stop = tracee->Wait(sys::MonotonicNow() + kExecLimit);
  (void)attachments_.Advance(tgid, Attachments::Stage::kStopped);
  SetResult(recorded, SeeThrough(tracee.value(), stop, expected, lane, tally_));
}

void ExecHandler::Redirect(const seccomp_notif& notification, pid_t tgid, Judgement judgement,
                           notify::Lane& lane) {
  const Judgement::Answer answer = judgement.answer;
  const Recorded recorded = Record(judgement, lane);
  if (!recorded.kept) return RefuseUnrecordable(notification);
  const Result<ExecCall> call = ExecCall::Of(notification.data);
  CHECK(call.ok());  // it was judged
  const std::uint64_t path_end = call->path + judgement.request.raw_path.size();
  const Redirector::Outcome outcome = redirector_.Redirect(
      notification, tgid, path_end, TicketFor(std::move(judgement), recorded.seq), lane);
  if (outcome == Redirector::Outcome::kKilled) ++tally_.mismatches;
  if (outcome == Redirector::Outcome::kWaiting || answer == Judgement::Answer::kExplain) return;
  SetResult(recorded, "failed");
}

Ticket ExecHandler::TicketFor(Judgement judgement, std::uint64_t seq) {
  Ticket ticket;
  switch (judgement.answer) {
    case Judgement::Answer::kRewrite:
      ticket.purpose = Ticket::Purpose::kExecute;
      ticket.sealed = std::make_shared<const Sealed>(std::move(judgement.sealed));
      ticket.message->environment = std::move(judgement.request.env);
      break;
    case Judgement::Answer::kAsk:
      ticket.purpose = Ticket::Purpose::kAsk;
      judgement.asked->record = std::move(judgement.record);
      judgement.asked->seq = seq;
      if (ShelvedExec::CanHoldNow(*judgement.asked)) {
        ticket.message->shelved = ShelvedExec::Make(std::move(judgement.asked));
      } else {
        ticket.message->asked = std::move(judgement.asked);
      }
      break;
    default:
      ticket.purpose = Ticket::Purpose::kExplain;
      ticket.message->explanation = std::move(judgement.explanation);
  }
  return ticket;
}

void ExecHandler::Serve(pid_t pid, UniqueFd channel, Ticket ticket) {
  const auto sent = [&]() -> Result<void> {
    switch (ticket.purpose) {
      case Ticket::Purpose::kExplain:
        return SendExplanation(channel, ticket.message->explanation);
      case Ticket::Purpose::kExecute:
        return SendCommand(channel, {.program = ticket.sealed->program,
                                     .argv = &ticket.sealed->argv,
                                     .env = &ticket.message->environment});
      case Ticket::Purpose::kAsk:
        break;
    }
    if (ticket.message->asked == nullptr && ticket.message->shelved == nullptr)
      return Error(EPROTO, "", "nothing was asked");
    TRY(sys::SetNonBlocking(channel, true));
    const bool decided = ticket.message->asked != nullptr && ticket.message->asked->allowed &&
                         !ticket.message->asked->checks.has_value();
    const Admit& takes_over = decided ? facts_.run_elsewhere : facts_.admit;
    takes_over({.pid = pid,
                .start_time = ticket.start_time,
                .ticket = ticket.number,
                .channel = std::move(channel),
                .asked = std::move(ticket.message->asked),
                .shelved = std::move(ticket.message->shelved),
                .desk = this});
    return {};
  }();
  // The end of file that follows means denied. EPIPE: it has gone.
  if (!sent.ok() && sent.error().code() != EPIPE && sent.error().code() != ECONNRESET) {
    log::Warn("a waiting room cannot be answered", {{"error", sent.error().ToString()}});
  }
}

void ExecHandler::Grant(pid_t tgid, std::uint64_t ticket, std::shared_ptr<const Sealed> sealed) {
  tickets_.Grant(tgid, ticket, std::move(sealed));
}

void ExecHandler::Allow(pid_t tgid, std::uint64_t start_time,
                        std::shared_ptr<const Sealed> sealed) {
  Ticket ticket;
  ticket.purpose = Ticket::Purpose::kExecute;
  ticket.start_time = start_time;
  ticket.sealed = std::move(sealed);
  ticket.has_channel = true;  // it is no shim
  tickets_.Add(tgid, std::move(ticket));
}

void ExecHandler::Deny(const journal::Record& record, std::uint64_t seq) {
  if (record.verdict == policy::Action::kAllow) {  // a checker's word
    --tally_.allowed;
    ++tally_.denied;
  }
  denials_.Add(record, seq);
}

}  // namespace cellrun::exec
