// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/approvals/ask.h"
#include "broker/exec/resolve.h"
#include "broker/exec/script_operand.h"
#include "broker/exec/ticket.h"
#include "broker/journal/record.h"
#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::exec {

// An exec that needs a person's word, or that runs elsewhere than in its process, as it was judged.
// What takes long (hashes, copies) is not found out yet.
struct AskedExec {
  // No person is asked: it is allowed, and `ask.strategy` says that it runs elsewhere, or `checks`
  // that somebody else is heard first.
  bool allowed = false;
  policy::Ghost ghost;  // of a strategy kGhost
  approvals::Ask ask;
  Sealed sealed;                         // of the command as asked; without hashes
  std::vector<File> files;               // go with sealed.images
  std::vector<bool> writable;            // likewise: the cell could change it under the name
  std::string original_program;          // as the caller wrote it
  std::vector<std::string> environment;  // where a rule rewrote it; else empty: the shim's own
  bool own_environment = true;
  // Code that the cell can write and that is no image: it runs from a copy.
  struct Script {
    File file;
    bool is_image = false;     // the program is a #! script; else an argument names it
    std::size_t argument = 0;  // which one
    // What the kernel makes of the #! lines, up to the script's path.
    std::vector<std::string> interpreter;
  };
  std::optional<Script> script;
  // What is in the copy that was made of it, which is there as long as this is.
  std::function<Result<std::string>()> read_copy;
  // For FindRisks.
  ScriptOperand::Kind operand = ScriptOperand::Kind::kNone;
  bool operand_found = false;
  bool image_writable = false;
  bool content_may_change = false;
  bool denied_by_rule = false;
  // External checkers that are to be heard first, and what their rewrites are judged again with.
  struct Checks {
    std::vector<std::string> commands;
    std::shared_ptr<const policy::Policy> policy;
    const policy::CommandRule* rule = nullptr;  // that decided; of the policy
    policy::ExecRequest request;
  };
  std::optional<Checks> checks;
  journal::Record record;
  std::uint64_t seq = 0;  // of its record; 0: none
};

// What a room may do at the supervisor of its process. Thread-safe.
class Desk {
 public:
  // See Tickets::Grant.
  virtual void Grant(pid_t tgid, std::uint64_t ticket, std::shared_ptr<const Sealed> sealed) = 0;
  // For a process that waits to execute, and of which nothing has been decided: the one exec that
  // it may do.
  virtual void Allow(pid_t tgid, std::uint64_t start_time,
                     std::shared_ptr<const Sealed> sealed) = 0;
  // It will not run: for the report, for $CELLRUN_DENIALS, and as the record's result.
  virtual void Deny(const journal::Record& record, std::uint64_t seq) = 0;

  virtual ~Desk() = default;
  Desk(const Desk&) = delete;
  Desk& operator=(const Desk&) = delete;

 protected:
  Desk() = default;
};

// A process that waits in the shim, as it is handed over to whoever looks after it.
struct Waiter {
  pid_t pid = 0;  // in the broker's pid namespace
  std::uint64_t start_time = 0;
  std::uint64_t ticket = 0;  // its number
  UniqueFd channel;          // the broker's end; non-blocking
  // One of the two; shelved is what has nothing left to be found out.
  std::shared_ptr<AskedExec> asked;
  std::shared_ptr<const ShelvedExec> shelved;
  Desk* desk = nullptr;  // lives as long as the supervisor
};

// Takes a waiter over; called on threads of a supervisor, must not block.
using Admit = std::function<void(Waiter waiter)>;

}  // namespace cellrun::exec
