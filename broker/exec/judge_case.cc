// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/judge_case.h"

#include <utility>

namespace cellrun::exec {

Judge::Case::Case(Judge& judge, const seccomp_notif& notification, notify::Lane& lane)
    : judge_(judge),
      view_(judge.View()),
      tid_(static_cast<pid_t>(notification.pid)),
      data_(notification.data),
      lane_(lane),
      memory_(judge.listener_, notification, lane.memory()) {
  out_.policy = view_->policy;
}

Judgement Judge::Case::Run() {
  StartRecord();
  out_.ticket = judge_.tickets_.TakeExec(tid_);
  if (ReadCall() && ReadPath() && ChooseView() && Find() && ReadArguments() && ReadSurroundings() &&
      UnwrapAll()) {
    FillRequest();
    if (out_.ticket.has_value()) {
      MatchTicket();
    } else if (HashImages()) {
      Weigh();
    }
  }
  return std::move(out_);
}

bool Judge::Case::Gone() {
  out_.answer = Judgement::Answer::kGone;
  return false;
}
bool Judge::Case::Missing(int error) {
  out_.answer = Judgement::Answer::kMissing;
  out_.error = error;
  return false;
}
bool Judge::Case::Refuse(int error, std::string reason) {
  out_.answer = Judgement::Answer::kRefuse;
  out_.error = error;
  out_.record.verdict = policy::Action::kDeny;
  out_.record.reason = std::move(reason);
  out_.record.result = call_.check_only() ? "check" : "denied";
  return false;
}
// The task's memory could not be read: what the kernel would say where it cannot either.
bool Judge::Case::Unreadable(const Error& error, const char* what) {
  if (error.code() == ESRCH) return Gone();
  const int code = error.code() == EPERM ? EACCES : error.code();
  return Refuse(code, std::string("cannot be judged: ") + what);
}

}  // namespace cellrun::exec
