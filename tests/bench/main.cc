// SPDX-License-Identifier: Apache-2.0
// cellrun_bench PREFIX CELLS DATA WORK PROFILE JSON ROUNDS [PART…]: prints tables, writes JSON.
// Started by run.sh.
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lib/base/version.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

struct Part {
  const char* name;
  nlohmann::json (*measure)(const Setting&);
};
constexpr Part kParts[] = {
    {"start", MeasureStart},     {"exec", MeasureExec},           {"build", MeasureBuild},
    {"work", MeasureWork},       {"neighbour", MeasureNeighbour}, {"memory", MeasureMemory},
    {"decide", MeasureDecide},   {"asks", MeasureAsks},           {"pending", MeasurePending},
    {"network", MeasureNetwork}, {"gateway", MeasureGateway}};

int Main(int argc, char** argv) {
  if (argc < 8) {
    fprintf(stderr, "usage: ./dev bench [--rounds N] [PART…]\n");
    return 2;
  }
  const Setting setting = {.prefix = argv[1],
                           .cells = argv[2],
                           .data = argv[3],
                           .work = argv[4],
                           .profile = argv[5],
                           .rounds = atoi(argv[7])};
  utsname system{};
  uname(&system);
  nlohmann::json json = {{"cellrun", kVersion},
                         {"build", kBuildId},
                         {"kernel", &system.release[0]},
                         {"cpus", sysconf(_SC_NPROCESSORS_ONLN)},
                         {"uid", getuid()}};
  for (const auto& part : kParts) {
    bool wanted = argc == 8;
    for (int i = 8; i < argc; ++i) wanted = wanted || std::string(argv[i]) == part.name;
    if (!wanted) continue;
    json[part.name] = part.measure(setting);
    printf("\n");
    fflush(stdout);
  }
  std::ofstream(argv[6]) << json.dump(2) << "\n";
  return 0;
}

}  // namespace
}  // namespace cellrun::bench

int main(int argc, char** argv) {
  return cellrun::bench::Main(argc, argv);
}
