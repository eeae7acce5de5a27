// SPDX-License-Identifier: Apache-2.0
// What a cell costs while it sits there: proportional set size of launcher and init, growth of the
// broker; and how long many take to start, beside bubblewrap's.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/bench/broker_process.h"
#include "tests/bench/idle_cell.h"
#include "tests/bench/runners.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

constexpr std::size_t kMany = 200;
const Words kWaits = {"bash", "-c", "echo up; read -r forever"};

long Pss(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Pss:")) return std::stol(line.substr(4));
  }
  return 0;  // init's memory map is closed to others than root
}

std::vector<pid_t> Children(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  std::vector<pid_t> children;
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

// Both let go of what only starting needed: the launcher after 0.1 s, the broker after 2 s.
void Settle() {
  usleep(3'000'000);
}

// Until `cells` has `count`, one after the other; the seconds that took.
double Grow(std::vector<IdleCell>& cells, std::size_t count, const Words& argv) {
  const auto begin = std::chrono::steady_clock::now();
  while (cells.size() < count) cells.emplace_back(argv);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

nlohmann::json StartMany(const Setting& setting, double ours) {
  const auto& runners = Runners(setting);
  const auto bwrap = std::find_if(runners.begin(), runners.end(),
                                  [](const Runner& runner) { return runner.name == "bwrap"; });
  if (bwrap == runners.end()) return nullptr;
  std::vector<IdleCell> cells;
  const double theirs = Grow(cells, kMany, bwrap->wrap(kWaits));
  printf("  start of %zu that stay         %7.2f s     bwrap %.2f s   %5.2f ×\n", kMany, ours,
         theirs, ours / theirs);
  return {{"cellrun_s", ours}, {"bwrap_s", theirs}, {"ratio", ours / theirs}};
}

}  // namespace

nlohmann::json MeasureMemory(const Setting& setting) {
  RunCommand(setting.InCell({"/bin/true"}), setting.work);
  const pid_t broker = BrokerPid(setting);
  Settle();
  const long idle = ResidentKib(broker);
  printf("memory\n  broker (RSS), no cell        %7ld KiB\n", idle);
  nlohmann::json json = {{"broker_idle_rss_kib", idle}};
  std::vector<IdleCell> cells;
  double seconds = 0;
  for (const std::size_t count : {std::size_t{1}, std::size_t{50}, kMany}) {
    seconds += Grow(cells, count, setting.InCell(kWaits));
    Settle();
    const long now = ResidentKib(broker);
    printf("  broker, %3zu cells            %7ld KiB   %ld KiB a cell\n", count, now,
           (now - idle) / static_cast<long>(count));
    json["broker_" + std::to_string(count) + "_cells_rss_kib"] = now;
  }
  const long launcher = Pss(cells[0].pid());
  long init = 0;
  for (const pid_t child : Children(cells[0].pid())) init += Pss(child);
  printf("  launcher, init (PSS)         %7ld KiB, %ld KiB\n", launcher, init);
  json["launcher_pss_kib"] = launcher;
  json["init_pss_kib"] = init;
  cells.clear();
  json["start_of_many"] = StartMany(setting, seconds);
  return json;
}

}  // namespace cellrun::bench
