// SPDX-License-Identifier: Apache-2.0
// What people and agents do all day: git, npm, many small files.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/bench/runners.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

constexpr char kRepository[] = R"(
set -e
git init -q -b main origin && cd origin
git config user.name bench && git config user.email bench@example.com
for d in $(seq 20); do
  mkdir dir$d
  for f in $(seq 20); do seq $((d * f)) >dir$d/file$f; done
  git add . && git commit -q -m "directory $d"
done
)";

constexpr char kPackage[] = R"(
set -e
mkdir package package/dep && cd package
printf 'audit=false\nfund=false\nupdate-notifier=false\noffline=true\n' >.npmrc
printf '{"name":"dep","version":"1.0.0","main":"index.js"}' >dep/package.json
for f in $(seq 200); do echo "module.exports = $f" >dep/file$f.js; done
echo 'module.exports = 42' >dep/index.js
npm pack -s ./dep >/dev/null
printf '{"name":"bench","version":"1.0.0","dependencies":{"dep":"file:dep-1.0.0.tgz"}}' >package.json
npm install -s --package-lock-only >/dev/null
)";

void Prepare(const Setting& setting, const char* script) {
  if (RunCommand({"bash", "-c", script}, setting.work).status == 0) return;
  fprintf(stderr, "bench: cannot prepare the work\n");
  exit(1);
}

}  // namespace

nlohmann::json MeasureWork(const Setting& setting) {
  Prepare(setting, kRepository);
  Prepare(setting, kPackage);
  const auto whole = [&setting](const char* name, const Words& argv, const char* leftover) {
    return Job{.name = name, .seconds = [&setting, argv, leftover](const Runner& by) {
                 if (*leftover != '\0') std::filesystem::remove_all(setting.work + leftover);
                 const Finished finished = RunCommand(by.wrap(argv), setting.work);
                 return finished.status == 0 ? finished.seconds : -1;
               }};
  };
  const auto repeated = [](const std::string& command) {
    return Words{"bash", "-c", "cd origin && for i in {1..20}; do " + command + "; done"};
  };
  // The program measures itself.
  const Job files{.name = "2,000 small files", .seconds = [&setting](const Runner& by) {
                    const Finished finished = RunCommand(
                        by.wrap({setting.cells + "/files", setting.work + "/files", "2000"}),
                        setting.work);
                    return finished.status == 0 ? strtod(finished.out.c_str(), nullptr) / 1e9 : -1;
                  }};
  return CompareRunners(
      setting, "daily work",
      {files, whole("git clone", {"git", "clone", "-q", "origin", "clone"}, "/clone"),
       whole("git status, 20 times", repeated("git status --short"), ""),
       whole("git log --stat, 20 times", repeated("git log --stat >/dev/null"), ""),
       whole("npm ci", {"npm", "ci", "-s", "--prefix", "package"}, "/package/node_modules")});
}

}  // namespace cellrun::bench
