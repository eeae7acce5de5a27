// SPDX-License-Identifier: Apache-2.0
// A real build: configure and make -j2 of a C project.
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tests/bench/runners.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {

nlohmann::json MeasureBuild(const Setting& setting) {
  const std::string tree = setting.work + "/tally";
  const auto renew = [&] {
    std::filesystem::remove_all(tree);
    std::filesystem::copy(setting.data, tree, std::filesystem::copy_options::recursive);
  };
  const auto timed = [&setting](const Runner& runner, const std::string& script) {
    const Finished finished = RunCommand(runner.wrap({"bash", "-c", script}), setting.work);
    return finished.status == 0 ? finished.seconds : -1;
  };
  nlohmann::json json = CompareRunners(
      setting, "a small C project",
      {{.name = "configure",
        .seconds =
            [&](const Runner& by) {
              renew();
              return timed(by, "cd tally && ./configure --quiet");
            }},
       {.name = "make -j2 check", .seconds = [&](const Runner& by) {
          renew();
          if (RunCommand({"bash", "-c", "cd tally && ./configure --quiet"}, setting.work).status !=
              0)
            return -1.0;
          return timed(by, "cd tally && make -s -j2 check");
        }}});
  std::filesystem::remove_all(tree);
  return json;
}

}  // namespace cellrun::bench
