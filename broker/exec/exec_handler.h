// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>

#include <memory>
#include <optional>

#include "broker/exec/attachments.h"
#include "broker/exec/judge.h"
#include "broker/exec/redirect.h"
#include "broker/exec/ticket.h"
#include "broker/exec/waiter.h"
#include "broker/notify/cell_facts.h"
#include "broker/notify/denial_log.h"
#include "broker/notify/listener.h"
#include "broker/notify/receivers.h"
#include "broker/notify/tally.h"

namespace cellrun::exec {

// Answers execve and execveat: judges, records, then refuses, redirects, or lets run and verifies.
// Thread-safe; everything that it is given outlives it. An exec that needs a person's word is never
// held: its process becomes a waiting room, and CellFacts::admit takes that over.
class ExecHandler final : public Desk {
 public:
  ExecHandler(const notify::CellFacts& facts, const notify::Listener& listener, Resolver resolver,
              notify::DenialLog& denials, notify::Tally& tally);

  void Handle(const seccomp_notif& notification, notify::Lane& lane);
  // What was put aside and can be handled now.
  std::optional<seccomp_notif> Next() { return attachments_.Next(); }
  void ReplacePolicy(std::shared_ptr<const policy::Policy> policy);
  [[nodiscard]] Tickets& tickets() noexcept { return tickets_; }
  // What a process with this ticket is told, now that it has its channel.
  void Serve(pid_t pid, UniqueFd channel, Ticket ticket);

  void Grant(pid_t tgid, std::uint64_t ticket, std::shared_ptr<const Sealed> sealed) override;
  void Allow(pid_t tgid, std::uint64_t start_time, std::shared_ptr<const Sealed> sealed) override;
  void Deny(const journal::Record& record, std::uint64_t seq) override;

 private:
  struct Recorded {
    bool kept = false;      // or need not be
    std::uint64_t seq = 0;  // 0: not recorded
  };
  // Before the answer, always.
  Recorded Record(const Judgement& judgement, notify::Lane& lane);
  void SetResult(const Recorded& recorded, std::string result);
  void Refuse(const seccomp_notif& notification, const Judgement& judgement, notify::Lane& lane);
  void RefuseUnrecordable(const seccomp_notif& notification);
  void RunFreely(const seccomp_notif& notification, const Judgement& judgement, notify::Lane& lane);
  void AnswerCheck(const seccomp_notif& notification, const Judgement& judgement,
                   notify::Lane& lane);
  // Those that need an attachment.
  void Attach(const seccomp_notif& notification, Judgement judgement, notify::Lane& lane);
  void RunVerified(const seccomp_notif& notification, pid_t tgid, const Judgement& judgement,
                   notify::Lane& lane);
  void Redirect(const seccomp_notif& notification, pid_t tgid, Judgement judgement,
                notify::Lane& lane);

  static Ticket TicketFor(Judgement judgement, std::uint64_t seq);

  const notify::CellFacts& facts_;
  const notify::Listener& listener_;
  notify::DenialLog& denials_;
  notify::Tally& tally_;
  Attachments attachments_;
  Tickets tickets_;
  Judge judge_;
  Redirector redirector_;
};

}  // namespace cellrun::exec
