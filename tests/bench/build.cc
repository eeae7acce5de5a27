// SPDX-License-Identifier: Apache-2.0
// A real build: configure and make -j2 of a C project, bare and in a cell.
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/bench/timing.h"

namespace cellrun::bench {

nlohmann::json MeasureBuild(const Setting& setting) {
  const std::string tree = setting.work + "/tally";
  const auto build = [&](const Words& argv) {
    std::filesystem::remove_all(tree);
    std::filesystem::copy(setting.data, tree, std::filesystem::copy_options::recursive);
    const Finished finished = RunCommand(argv, setting.work);
    return finished.status == 0 ? finished.seconds : -1;
  };
  const Words bare = {"bash", "-c", "cd tally && ./configure --quiet && make -s -j2 check"};
  const Words inside = setting.InCell(bare);
  const auto standings =
      Compare(setting.rounds > 0 ? setting.rounds : 7,
              {{"bare", [&] { return build(bare); }}, {"cell", [&] { return build(inside); }}});
  std::filesystem::remove_all(tree);
  printf("configure && make -j2              bare     in a cell   ratio\n");
  printf("  %-28s %7.2f s   %7.2f s   %5.2f ×\n", "a small C project", standings[0].median_seconds,
         standings[1].median_seconds, standings[1].ratio);
  return {{"bare_s", standings[0].median_seconds},
          {"cell_s", standings[1].median_seconds},
          {"ratio", standings[1].ratio}};
}

}  // namespace cellrun::bench
