// SPDX-License-Identifier: Apache-2.0
// How long a cell waits for its execs while another cell executes as fast as it can.
#include <signal.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/bench/idle_cell.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

struct Latency {
  double median = 0, worst_percent = 0;  // microseconds
};

// One exec each millisecond, measured inside.
Latency Measure(const Setting& setting) {
  const Finished finished = RunCommand(
      setting.InCell({setting.cells + "/pace", "1000", "1000", setting.cells + "/minimal"}),
      setting.work);
  Latency latency;
  std::istringstream(finished.out) >> latency.median >> latency.worst_percent;
  if (finished.status != 0 || latency.median <= 0) {
    fprintf(stderr, "bench: pace failed\n");
    exit(1);
  }
  return {.median = latency.median / 1e3, .worst_percent = latency.worst_percent / 1e3};
}

}  // namespace

nlohmann::json MeasureNeighbour(const Setting& setting) {
  std::vector<double> quiet, flooded, quiet_worst, flooded_worst;
  for (int round = 0; round < (setting.rounds > 0 ? setting.rounds : 5); ++round) {
    const Latency before = Measure(setting);
    const IdleCell flood(
        setting.InCell({"bash", "-c",
                        "echo up; exec " + setting.cells + "/storm spawn 4 100000000 " +
                            setting.cells + "/minimal"}));
    const Latency during = Measure(setting);
    quiet.push_back(before.median);
    quiet_worst.push_back(before.worst_percent);
    flooded.push_back(during.median);
    flooded_worst.push_back(during.worst_percent);
  }
  const double ratio = Median(flooded) / Median(quiet);
  printf("an exec beside a flood of execs in another cell\n");
  printf("  quiet    p50 %8.0f µs   p99 %8.0f µs\n", Median(quiet), Median(quiet_worst));
  printf("  flooded  p50 %8.0f µs   p99 %8.0f µs   %5.2f ×\n", Median(flooded),
         Median(flooded_worst), ratio);
  return {{"quiet_p50_us", Median(quiet)},
          {"quiet_p99_us", Median(quiet_worst)},
          {"flooded_p50_us", Median(flooded)},
          {"flooded_p99_us", Median(flooded_worst)},
          {"ratio_p50", ratio}};
}

}  // namespace cellrun::bench
