// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace cellrun::bench {

using Words = std::vector<std::string>;

struct Finished {
  int status = -1;     // exit code, or 128 + signal
  double seconds = 0;  // from before the start to after the end
  std::string out;     // standard output
};
// Runs a command with posix_spawn, its output to a pipe, its errors to ours.
Finished RunCommand(const Words& argv, const std::string& directory = "");

double Median(std::vector<double> values);

// One way to do the same thing. `run` returns seconds; a negative number says that it failed.
struct Contender {
  std::string name;
  std::function<double()> run;
};

struct Standing {
  std::string name;
  double median_seconds = 0;
  double ratio = 0;  // median of the ratios to the first contender, round by round
};

// Every round runs every contender once, in an order that rotates, after one round that does not
// count: what else the machine does meanwhile hits all alike. Ends the program if one fails.
std::vector<Standing> Compare(int rounds, const std::vector<Contender>& contenders);

// Where everything lies.
struct Setting {
  std::string prefix;   // installed copy
  std::string cells;    // programs that run inside
  std::string data;     // the C project
  std::string work;     // an empty directory on a tmpfs; the workspace
  std::string profile;  // default deny, a rule for each program
  int rounds = 0;       // 0: what each figure takes by itself
  [[nodiscard]] Words InCell(const Words& argv) const;
};

// Each prints its table and returns its part of the JSON.
nlohmann::json MeasureStart(const Setting& setting);
nlohmann::json MeasureExec(const Setting& setting);
nlohmann::json MeasureBuild(const Setting& setting);
nlohmann::json MeasureWork(const Setting& setting);
nlohmann::json MeasureNeighbour(const Setting& setting);
nlohmann::json MeasureMemory(const Setting& setting);
nlohmann::json MeasureDecide(const Setting& setting);
nlohmann::json MeasureAsks(const Setting& setting);
nlohmann::json MeasurePending(const Setting& setting);
nlohmann::json MeasureNetwork(const Setting& setting);
nlohmann::json MeasureGateway(const Setting& setting);

}  // namespace cellrun::bench
