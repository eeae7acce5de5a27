// SPDX-License-Identifier: Apache-2.0
// What a judged exec costs. Measured inside by tests/cells/storm, so that the start of the cell
// does not count.
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

struct Storm {
  const char* name;
  const char* mode;
  const char* threads;
  int count;
};
constexpr Storm kStorms[] = {{"posix_spawn, 1 thread", "spawn", "1", 1000},
                             {"fork+exec, 1 thread", "fork", "1", 1000},
                             {"posix_spawn, 4 threads", "spawn", "4", 2000},
                             {"fork+exec, 4 threads", "fork", "4", 2000}};

// Seconds an exec, as the storm itself measured it.
double PerExec(const Words& argv, const Setting& setting, int count) {
  const Finished finished = RunCommand(argv, setting.work);
  long started = 0, failed = -1;
  double nanoseconds = 0;
  std::istringstream(finished.out) >> started >> failed >> nanoseconds;
  return finished.status == 0 && started == count && failed == 0 ? nanoseconds / 1e9 / count : -1;
}

}  // namespace

nlohmann::json MeasureExec(const Setting& setting) {
  printf("one exec of a minimal program      bare     in a cell    added   ratio\n");
  nlohmann::json json = nlohmann::json::array();
  const auto show = [&](const std::string& name, const std::vector<Standing>& standings) {
    const double bare = standings[0].median_seconds * 1e6, cell = standings[1].median_seconds * 1e6;
    printf("  %-28s %7.1f µs  %7.1f µs  %6.1f µs  %5.2f ×\n", name.c_str(), bare, cell, cell - bare,
           standings[1].ratio);
    json.push_back(
        {{"name", name}, {"bare_us", bare}, {"cell_us", cell}, {"ratio", standings[1].ratio}});
  };
  for (const auto& storm : kStorms) {
    const Words argv = {setting.cells + "/storm", storm.mode, storm.threads,
                        std::to_string(storm.count), setting.cells + "/minimal"};
    const Words inside = setting.InCell(argv);
    show(storm.name, Compare(setting.rounds > 0 ? setting.rounds : 9,
                             {{"bare", [&] { return PerExec(argv, setting, storm.count); }},
                              {"cell", [&] { return PerExec(inside, setting, storm.count); }}}));
  }
  // bash measures itself, so that the start of the cell does not count here either.
  const Words loop = {"bash", "-c",
                      "t=${EPOCHREALTIME/./}; for ((i = 0; i < 500; i++)); do /bin/true; done; "
                      "echo $((${EPOCHREALTIME/./} - t))"};
  const auto per_loop = [&](const Words& argv) {
    const Finished finished = RunCommand(argv, setting.work);
    return finished.status == 0 ? strtod(finished.out.c_str(), nullptr) / 1e6 / 500 : -1.0;
  };
  const Words inside = setting.InCell(loop);
  show("/bin/true from a bash loop", Compare(setting.rounds > 0 ? setting.rounds : 9,
                                             {{"bare", [&] { return per_loop(loop); }},
                                              {"cell", [&] { return per_loop(inside); }}}));
  return json;
}

}  // namespace cellrun::bench
