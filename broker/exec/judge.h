// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "broker/exec/chain.h"
#include "broker/exec/image.h"
#include "broker/exec/resolve.h"
#include "broker/exec/ticket.h"
#include "broker/exec/waiter.h"
#include "broker/journal/record.h"
#include "broker/notify/cell_facts.h"
#include "broker/notify/listener.h"
#include "broker/notify/receivers.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

// The arguments of execve and execveat in one form. Registers only.
struct ExecCall {
  int directory = -100;  // AT_FDCWD
  std::uint64_t path = 0, argv = 0, env = 0;
  unsigned flags = 0;
  [[nodiscard]] bool check_only() const;
  // EINVAL: flags that no kernel knows.
  static Result<ExecCall> Of(const seccomp_data& data);
};

// What is to be done about one execve.
struct Judgement {
  enum class Answer {
    kGone,         // nobody waits any more
    kMissing,      // `error`, as the lookup gave it; not recorded
    kRefuse,       // `error`, recorded
    kExplain,      // redirect to the shim, which says `explanation`
    kRewrite,      // redirect to the shim, which runs what is sealed, with `request.env`
    kAsk,          // redirect to the shim, which waits for what becomes of `asked`, a person's
                   // word or a run elsewhere
    kRun,          // in place, verified
    kRunFreely,    // in place, not verified: no exec of this cell can be denied
    kAnswerCheck,  // AT_EXECVE_CHECK: 0
  };
  Answer answer = Answer::kRefuse;
  int error = 0;
  policy::ExecRequest request;  // of kRewrite: argv and env as rewritten
  policy::Verdict verdict;
  std::shared_ptr<const policy::Policy> policy;  // what the verdict points into
  std::string explanation;

  // What is verified.
  FileVersion image;
  std::string image_hash;
  // As the task sees it, and what it is: a name may be given to another directory.
  std::string working_directory;
  std::optional<policy::FileId> directory_id;
  std::vector<std::string> final_argv;
  Sealed sealed;                     // of kRewrite
  std::shared_ptr<AskedExec> asked;  // of kAsk

  // What the caller held, to be given back if it is put aside.
  std::optional<Ticket> ticket;

  journal::Record record;
};

// Turns a notification into a Judgement. Every failure is a refusal. Thread-safe.
class Judge {
 public:
  Judge(const notify::CellFacts& facts, const notify::Listener& listener, Resolver resolver,
        Tickets& tickets);

  Judgement Decide(const seccomp_notif& notification, notify::Lane& lane);
  void ReplacePolicy(std::shared_ptr<const policy::Policy> policy);

 private:
  struct PolicyView {
    std::shared_ptr<const policy::Policy> policy;
    // Looked at only where a rule wants it: each costs as much as a whole lookup.
    bool uses_terminal = false, uses_parent = false, uses_directory = false;
    bool judges_nothing = false;  // every exec is allowed as it is
  };
  class Case;

  [[nodiscard]] std::shared_ptr<const PolicyView> View() const;

  const notify::CellFacts& facts_;
  const notify::Listener& listener_;
  const Resolver resolver_;
  ImageInspector inspector_;
  Tickets& tickets_;
  mutable std::mutex mutex_;
  std::shared_ptr<const PolicyView> view_;  // guarded by mutex_
};

}  // namespace cellrun::exec
