// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/exec/image.h"
#include "broker/exec/ticket.h"
#include "broker/exec/waiter.h"
#include "broker/journal/record.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

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

}  // namespace cellrun::exec
