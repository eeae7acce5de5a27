// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "broker/exec/chain.h"
#include "broker/exec/waiter.h"
#include "broker/notify/cell_facts.h"
#include "lib/base/result.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

struct AskInput {
  bool call_names_file = true;  // the path that the caller wrote means the same to the shim
  pid_t pid = 0;
  const std::vector<std::string>& original_argv;
  const std::string& env_digest;  // of the environment as asked
  const policy::Policy& policy;
  const policy::Verdict& verdict;
  const policy::ExecRequest& request;
  const std::vector<std::string>& final_argv;  // of the chain
  const Resolver& resolver;
  Chain& chain;  // its files are taken
};

// What a person is asked about an exec, and what would be let through. On a supervisor thread, so
// nothing here takes long: hashes, copies and what follows from them come later. An error's
// context says why this cannot be asked.
Result<std::shared_ptr<AskedExec>> PrepareAsk(const notify::CellFacts& facts, AskInput input);

// The environment in which it would run under that verdict.
Result<std::vector<std::string>> EnvironmentToRun(const policy::Profile& profile,
                                                  const policy::Verdict& verdict,
                                                  const policy::ExecRequest& request);
// Whether the remembered rules that answer for it name each variable that a person would be shown.
bool AnswersCover(const notify::CellFacts& facts, const policy::Verdict& verdict,
                  const std::vector<std::string>& environment);

// The arguments as they run, for arguments as they are shown: where there is a copy of the script,
// that is named. EINVAL: these do not name the script that was copied.
Result<std::vector<std::string>> ArgumentsToRun(const AskedExec& asked,
                                                const std::vector<std::string>& argv);

// Puts a checker's arguments in place of those that would run. An error's context says why they
// cannot be taken; then nothing has changed.
Result<void> ReplaceArguments(AskedExec& asked, std::vector<std::string> argv);
// Whether they need a person's word: another rule would decide them, or the rule's own `rewrite`
// could have been undone. EACCES: they are denied; the context says why.
Result<bool> JudgeReplaced(const AskedExec& asked);

}  // namespace cellrun::exec
