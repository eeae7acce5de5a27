// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "broker/approvals/ask.h"
#include "lib/policy/policy.h"

namespace cellrun::exec {

// What a denied command says on its stderr: one to four lines, each ended by a newline, at most
// wire::kMaxShimText bytes. Text that comes from the cell is escaped, arguments are quoted.
//
//   cellrun: denied: git push origin main
//   rule: strict.yaml:23 "publishes code"
//   instead: ask a person to push
std::string DenialText(const std::string& raw_path, const std::vector<std::string>& argv,
                       const policy::Verdict& verdict);

// One line: what a rule said, for the journal.
std::string DenialReason(const policy::Verdict& verdict);

// `by` of a decision that an external checker made.
inline constexpr const char* kCheckerAnswered = "checker";

// The same for a command that was asked about and not approved.
std::string AskDenialText(const std::string& raw_path, const std::vector<std::string>& argv,
                          const approvals::Ask& ask, const approvals::Decision& decision);
std::string AskDenialReason(const approvals::Decision& decision);

}  // namespace cellrun::exec
