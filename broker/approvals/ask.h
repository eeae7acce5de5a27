// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/policy/policy.h"

namespace cellrun::approvals {

enum class State : std::uint8_t { kPending, kApproved, kDenied, kExpired, kWithdrawn };
enum class Scope : std::uint8_t { kOnce, kCell, kProject, kAlways };

const char* StateName(State state);  // "pending" "approved" "denied" "expired" "withdrawn"
const char* ScopeName(Scope scope);  // "once" "cell" "project" "always"

struct EnvironmentChange {
  std::string name;
  bool was_set = false, is_set = false;
  std::string before, after;
};

// One command that waits for a person: everything that is shown, and nothing else. Plain data, raw
// as it came from the cell; whoever prints it escapes it.
struct Ask {
  // Who asks.
  std::string cell_id, cell_name, profile, workspace;
  pid_t pid = 0;                     // in the broker's pid namespace
  std::vector<std::string> parents;  // programs of the calling processes, nearest first
  std::string cwd;

  // What would run: sealed, any difference is refused.
  policy::Strategy strategy = policy::Strategy::kInPlace;
  std::string program;                     // canonical
  std::vector<std::string> chain;          // interpreters, outermost last
  std::string image_hash;                  // sha256 of `program`, 64 hex digits
  bool writable = false;                   // the cell could have written it, or a link of its chain
  std::vector<std::string> argv;           // as it would run: after `rewrite`
  std::vector<std::string> original_argv;  // where that differs; else empty
  std::vector<EnvironmentChange> environment;
  std::string environment_digest;  // sha256 of the whole new environment, 64 hex digits
  // Of what was broker-held: the content of a script that the cell can write.
  std::string script_copy;  // where the copy lies in the cell; "" where none is made
  std::string script_hash;

  // Why.
  policy::RuleReference rule;
  std::string reason;
  std::vector<std::string> risks;  // sentences; cellrun's own words
  std::string said_by_cell;        // `cellrun request --reason`: the agent's words

  std::chrono::milliseconds timeout{0};
  policy::Action on_timeout = policy::Action::kDeny;
  // False: neither the profile says how long to wait, nor was the cell started from a terminal;
  // then it is not waited for long unless somebody looks at what waits.
  bool attended = true;
  int approvers = 1;             // so many different people must approve
  bool rememberable = true;      // false: whoever asks does so each time
  std::size_t max_pending = 64;  // `approvals.pending`: so many of the cell may wait at once
};

// What came of an ask.
struct Decision {
  State state = State::kDenied;  // never kPending
  Scope scope = Scope::kOnce;
  std::string reason;             // of a denial: reaches the caller
  std::vector<std::string> argv;  // of an approval: what may run, as asked or as edited
  bool edited = false;
  std::string by;  // who answered: "uid 1000 on pts/3"; "timeout", "no approver", "rule …"
};

}  // namespace cellrun::approvals
