// SPDX-License-Identifier: Apache-2.0
// How long it takes to run `true`: bare, in bubblewrap's tightest cell, in ours with a broker that
// is there and with one that has to be started.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

double Timed(const Words& argv, const std::string& directory) {
  const Finished finished = RunCommand(argv, directory);
  return finished.status == 0 ? finished.seconds : -1;
}

}  // namespace

nlohmann::json MeasureStart(const Setting& setting) {
  const Words bwrap = {"bwrap", "--unshare-all", "--ro-bind", "/",  "/",        "--proc",
                       "/proc", "--dev",         "/dev",      "--", "/bin/true"};
  const Words cellrun = setting.InCell({"/bin/true"});
  const auto run = [&](const Words& argv) { return [&] { return Timed(argv, setting.work); }; };
  const Words bare = {"/bin/true"};
  const auto warm =
      Compare(setting.rounds > 0 ? setting.rounds : 100, {{"bwrap --unshare-all", run(bwrap)},
                                                          {"cellrun, broker running", run(cellrun)},
                                                          {"bare", run(bare)}});
  const Words stop = {setting.prefix + "/bin/cellrun", "broker", "stop", "--force"};
  const auto cold = Compare(
      setting.rounds > 0 ? setting.rounds : 15,
      {{"bwrap --unshare-all", run(bwrap)}, {"cellrun, no broker yet", [&] {
                                               if (RunCommand(stop, setting.work).status != 0)
                                                 return -1.0;
                                               return Timed(cellrun, setting.work);
                                             }}});
  printf("start of /bin/true              median      against bwrap\n");
  nlohmann::json json = nlohmann::json::array();
  for (const auto* part : {&warm, &cold}) {
    for (const auto& standing : *part) {
      if (part == &cold && standing.name.starts_with("bwrap")) continue;
      printf("  %-28s %7.2f ms   %6.2f ×\n", standing.name.c_str(), standing.median_seconds * 1e3,
             standing.ratio);
      json.push_back({{"name", standing.name},
                      {"median_ms", standing.median_seconds * 1e3},
                      {"ratio_to_bwrap", standing.ratio}});
    }
  }
  return json;
}

}  // namespace cellrun::bench
