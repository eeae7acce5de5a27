// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "broker/approvals/ask.h"
#include "broker/journal/reader.h"
#include "lib/base/result.h"

namespace cellrun::approvals {

// What the journal says about a rule. Only the newest part of a long journal is looked at.

// The execs that a rule made of this ask would have matched, newest first, without that of the ask
// itself; the environment is not compared, the journal has only its digest.
struct Match {
  std::uint64_t seq = 0;
  std::string time;
  std::vector<std::string> argv;
};
struct Matches {
  std::vector<Match> newest;  // at most 20
  std::uint64_t total = 0;
};
Result<Matches> FindMatches(journal::Reader& reader, const Ask& ask, Scope scope);

// How often each remembered rule decided: by its id.
Result<std::map<std::string, std::uint64_t>> CountUses(journal::Reader& reader);

}  // namespace cellrun::approvals
