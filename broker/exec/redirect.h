// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <cstdint>

#include "broker/exec/attachments.h"
#include "broker/exec/ticket.h"
#include "broker/notify/cell_facts.h"
#include "broker/notify/listener.h"
#include "broker/notify/receivers.h"

namespace cellrun::exec {

// Makes the execve that a task is in an execveat of the shim, by its registers alone: its memory is
// never written (a vfork child shares it with its parent). The task keeps its arguments,
// environment, descriptors, process group and working directory.
//
// It is stopped on its way out of the call that was answered with an error, and set to execute the
// system call instruction again, with a descriptor of the shim that was put into it, the NUL byte
// at the end of its own path as the empty path, and its own argv and envp. It stays attached: when
// it enters that call, the call is announced (Attachments::Expect), whichever thread receives the
// notification continues it, and what is executed is compared with the shim before it runs.
class Redirector {
 public:
  enum class Outcome {
    kWaiting,  // the shim runs, and holds the ticket
    kRefused,  // EACCES; the caller goes on
    kGone,
    kKilled,  // it did not end as it must
  };

  Redirector(const notify::CellFacts& facts, const notify::Listener& listener,
             Attachments& attachments, Tickets& tickets) noexcept
      : facts_(facts), listener_(listener), attachments_(attachments), tickets_(tickets) {}

  // `path_end`: where in the task the NUL of its path is. The group must have been entered.
  Outcome Redirect(const seccomp_notif& notification, pid_t tgid, std::uint64_t path_end,
                   Ticket ticket, notify::Lane& lane) const;

 private:
  class Run;

  const notify::CellFacts& facts_;
  const notify::Listener& listener_;
  Attachments& attachments_;
  Tickets& tickets_;
};

}  // namespace cellrun::exec
