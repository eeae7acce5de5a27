// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "lib/policy/load.h"
#include "lib/policy/policy.h"
#include "lib/policy/profile.h"

namespace cellrun::policy {

// kNote: worth knowing, nothing to repair; does not make `profile lint` fail.
enum class Severity : std::uint8_t { kNote, kWarning, kError };
const char* SeverityName(Severity severity);  // "note" "warning" "error"

// Something about a profile that is allowed but probably not what was meant. Codes are stable and
// documented in docs/lint.md.
struct Finding {
  std::string code;  // "CR-L001"
  Severity severity = Severity::kWarning;
  Position at;
  std::string text;     // one sentence, escaped
  std::string suggest;  // what to do; may be empty
  // "p.yaml:7:5: warning: … [CR-L001]; try: …"
  [[nodiscard]] std::string ToString() const;
};

// What lint knows about the machine.
struct LintFacts {
  Places places;
  FileLookup lookup;
  std::chrono::system_clock::time_point now = std::chrono::system_clock::now();
};

// In the order of the document, rules first. Pure but for `facts.lookup`.
std::vector<Finding> Lint(const Profile& profile, const LintFacts& facts);

}  // namespace cellrun::policy
