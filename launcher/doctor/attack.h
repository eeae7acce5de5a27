// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"

// The attacks of doctor's self-test. They run inside the throw-away cell, in this same program, so
// they need no interpreter, and call the kernel directly: a library call might be refused before it
// gets there. Each one, if it succeeded, would do no harm that its own clean-up does not undo.
namespace cellrun::doctor {

// What the attacks aim at: made outside by the self-test.
struct AttackPlan {
  std::string secret;           // a word that only these places contain
  std::string decoy_file;       // holds `secret`, outside the workspace
  std::string decoy_process;    // name of a process that runs outside
  std::string abstract_socket;  // name, without the NUL, of a listening socket outside
  std::uint16_t tcp_port = 0;   // of a listening socket on the host's 127.0.0.1
  std::string workspace;
  // Where the attacker writes programs: outside the workspace, in which a build may run what it
  // made.
  std::string scratch;
  std::string runtime_directory, state_directory;  // of the user's broker
};
std::string Encode(const AttackPlan& plan);
Result<AttackPlan> DecodeAttackPlan(std::string_view text);

enum class Outcome : std::uint8_t { kHeld, kBroken, kNotTried };
const char* OutcomeName(Outcome outcome);  // "held" "BROKEN" "not tried"

struct AttackResult {
  Outcome outcome = Outcome::kNotTried;
  std::string detail;
};

struct Attack {
  const char* name;  // "read-shadow"
  const char* what;  // "read /etc/shadow"
  AttackResult (*run)(const AttackPlan& plan);
};

std::span<const Attack> FileAttacks();
std::span<const Attack> ProcessAttacks();
std::span<const Attack> KernelAttacks();
std::span<const Attack> ReachAttacks();
std::span<const Attack> ExecAttacks();
std::vector<Attack> AllAttacks();

// Runs every attack, each in a child of its own, and prints one JSON object a line:
// {"attack", "outcome", "detail"}. Refuses to run outside a cell. The exit status.
int AttackFromInside(const std::string& plan_file);

AttackResult Held(std::string detail = "");
AttackResult Broken(std::string detail);
AttackResult NotTried(std::string detail);
// A call that must fail: held with the errno's name, or broken because `number` is no error.
AttackResult MustFail(long number, const std::string& call);

}  // namespace cellrun::doctor
