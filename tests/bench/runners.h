// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tests/bench/timing.h"

namespace cellrun::bench {

// A way to run a command: as it is, in our cell, in the sandbox of somebody else.
struct Runner {
  std::string name;
  std::function<Words(const Words&)> wrap;
};

// First "bare", then "cellrun", then each peer that is installed and can run `true` here; what
// cannot is named on standard error. bwrap is always there.
const std::vector<Runner>& Runners(const Setting& setting);

// A job for every runner. `seconds` runs what it is given; negative: it failed. A peer that fails
// is left out and named; where `bare` or `cellrun` fails, the program ends.
struct Job {
  std::string name;
  std::function<double(const Runner&)> seconds;
  double unit = 1e3;  // shown and stored: seconds × unit
  const char* unit_name = "ms";
  int rounds = 7;
};
// Prints one line for each job (bare, then each runner's ratio to it) below a heading, and returns
// [{name, unit, bare, cellrun, ratio, peers: {NAME: {value, ratio}}}].
nlohmann::json CompareRunners(const Setting& setting, const std::string& heading,
                              const std::vector<Job>& jobs);
// The same for other runners, of which the first two are "bare" and "cellrun" as well.
nlohmann::json CompareRunners(const Setting& setting, const std::vector<Runner>& runners,
                              const std::string& heading, const std::vector<Job>& jobs);

}  // namespace cellrun::bench
