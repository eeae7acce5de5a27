// SPDX-License-Identifier: Apache-2.0
// What a judged exec costs. Measured inside by tests/cells/storm, so that the start of the cell
// does not count.
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/bench/runners.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

struct Storm {
  const char* name;
  const char* mode;
  const char* threads;
  const char* program;  // below cells, or absolute
  int count;
};
constexpr Storm kStorms[] = {{"posix_spawn, minimal", "spawn", "1", "minimal", 1000},
                             {"fork+exec, minimal", "fork", "1", "minimal", 1000},
                             {"posix_spawn, 4 threads", "spawn", "4", "minimal", 2000},
                             {"fork+exec, 4 threads", "fork", "4", "minimal", 2000},
                             {"posix_spawn, true (dynamic)", "spawn", "1", "/bin/true", 500}};
constexpr int kSlower = 5;  // a peer starts that many times fewer

// Seconds an exec, as the storm itself measured it.
double PerExec(const Setting& setting, const Storm& storm, const Runner& runner) {
  const bool ours = runner.name == "bare" || runner.name == "cellrun";
  const int count = ours ? storm.count : storm.count / kSlower;
  const std::string program = storm.program;
  const Finished finished = RunCommand(
      runner.wrap({setting.cells + "/storm", storm.mode, storm.threads, std::to_string(count),
                   program.starts_with("/") ? program : setting.cells + "/" + program}),
      setting.work);
  long started = 0, failed = -1;
  double nanoseconds = 0;
  std::istringstream(finished.out) >> started >> failed >> nanoseconds;
  return finished.status == 0 && started == count && failed == 0 ? nanoseconds / 1e9 / count : -1;
}

// bash measures itself, so that the start of the cell does not count here either.
double PerLoop(const Setting& setting, const std::string& command, const Runner& runner) {
  constexpr int kTimes = 300;
  const Words loop = {"bash", "-c",
                      "t=${EPOCHREALTIME/./}; for ((i = 0; i < " + std::to_string(kTimes) +
                          "; i++)); do " + command + "; done; echo $((${EPOCHREALTIME/./} - t))"};
  const Finished finished = RunCommand(runner.wrap(loop), setting.work);
  return finished.status == 0 ? strtod(finished.out.c_str(), nullptr) / 1e6 / kTimes : -1.0;
}

}  // namespace

nlohmann::json MeasureExec(const Setting& setting) {
  std::vector<Job> jobs;
  for (const Storm& storm : kStorms) {
    jobs.push_back(
        {.name = storm.name,
         .seconds = [&setting, &storm](const Runner& by) { return PerExec(setting, storm, by); },
         .unit = 1e6,
         .unit_name = "µs",
         .rounds = 9});
  }
  const auto loop = [&](const char* name, const std::string& command) {
    jobs.push_back(
        {.name = name,
         .seconds = [&setting, command](const Runner& by) { return PerLoop(setting, command, by); },
         .unit = 1e6,
         .unit_name = "µs",
         .rounds = 9});
  };
  loop("/bin/true from a bash loop", "/bin/true");
  loop("a name that does not exist", "/nowhere/at-all 2>/dev/null");
  return CompareRunners(setting, "one exec", jobs);
}

}  // namespace cellrun::bench
