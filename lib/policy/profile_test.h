// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/network_policy.h"
#include "lib/policy/policy.h"
#include "lib/policy/profile.h"

namespace cellrun::policy {

// A program file of this machine, as much of it as a judgement depends on.
struct ProgramFacts {
  FileFacts file;
  std::string head;  // its first 256 bytes at most, for "#!"; empty if it cannot be read
};
// Nothing: there is no such file. Must also answer for the directories of `path` (head empty).
using ProgramLookup = std::function<std::optional<ProgramFacts>(const std::string& absolute_path)>;

// One entry of `tests:` and how it went.
struct TestOutcome {
  TestCase test;
  bool passed = false;
  // An inherited test whose verdict is that of a document nearer than the test's own: it was
  // overridden on purpose and counts as passed.
  bool overridden = false;
  Action got = Action::kDeny;
  RuleReference rule;   // that decided
  std::string message;  // of the verdict; empty if there is none
  // One line for a person, escaped: "git push: expected ask, got allow by rule 'x' (p.yaml:7:5)".
  [[nodiscard]] std::string ToString() const;
};

// Runs the `tests:` of a profile, without a cell and without reading anything but what `lookup`
// answers. A bare program name that this machine does not have is taken for a file of that name in
// /usr/bin, so that a profile's tests have the same outcome where sudo or docker are not installed.
// What a test does not say about its image (`writable`) follows from where it lies. Problems: the
// profile does not compile. `built_in`: what this host's groups of destinations stand for.
Checked<std::vector<TestOutcome>> RunProfileTests(const Profile& profile, const Places& places,
                                                  const ProgramLookup& lookup,
                                                  const GroupMembers& built_in = {});

// The interpreter that a file beginning with `head` names after "#!", as the kernel reads it (256
// bytes, blanks skipped). Nothing if it is no script.
std::optional<std::string> ReadInterpreter(std::string_view head);
// What the kernel gives that interpreter: its name, the rest of the line if any, the script, and
// then `argv` without its first. `head` names an interpreter.
std::vector<std::string> InterpreterArgv(std::string_view head, const std::string& script,
                                         const std::vector<std::string>& argv);

}  // namespace cellrun::policy
