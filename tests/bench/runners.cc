// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/runners.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace cellrun::bench {
namespace {

struct Peer {
  const char* name;
  Words prefix;
};

// What each does by itself, with as little of its own isolation as it can do without: they are
// compared by what seeing or confining a program costs, not by how well they do it.
std::vector<Peer> Peers(const Setting& setting) {
  return {{"bwrap",
           {"bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--bind",
            setting.work, setting.work, "--proc", "/proc", "--dev", "/dev", "--"}},
          {"firejail", {"firejail", "--quiet", "--noprofile", "--"}},
          {"proot", {"proot", "-r", "/"}},
          {"strace", {"strace", "-f", "--seccomp-bpf", "-e", "trace=execve", "-o", "/dev/null"}},
          {"runsc", {"runsc", "--network=none", "do"}}};
}

Words Joined(const Words& prefix, const Words& argv) {
  Words words = prefix;
  words.insert(words.end(), argv.begin(), argv.end());
  return words;
}

std::vector<Runner> Find(const Setting& setting) {
  std::vector<Runner> runners = {
      {"bare", [](const Words& argv) { return argv; }},
      {"cellrun", [&setting](const Words& argv) { return setting.InCell(argv); }}};
  for (const Peer& peer : Peers(setting)) {
    const Words trial = Joined(peer.prefix, {"echo", "here"});
    const Finished finished = RunCommand(trial, setting.work);
    if (finished.status == 0 && finished.out == "here\n") {
      runners.push_back(
          {peer.name, [prefix = peer.prefix](const Words& argv) { return Joined(prefix, argv); }});
    } else {
      fprintf(stderr, "note: no figures for %s: it is not installed, or cannot run here\n",
              peer.name);
    }
  }
  return runners;
}

// One job by every runner that can do it; the first trial of each does not count.
std::vector<Standing> Compete(const Setting& setting, const std::vector<Runner>& runners,
                              const Job& job) {
  std::vector<Contender> contenders;
  for (const Runner& runner : runners) {
    const bool ours = runner.name == "bare" || runner.name == "cellrun";
    if (!ours && job.seconds(runner) < 0) {
      fprintf(stderr, "note: %s cannot do this: %s\n", runner.name.c_str(), job.name.c_str());
      continue;
    }
    contenders.push_back({runner.name, [&job, &runner] { return job.seconds(runner); }});
  }
  return Compare(setting.rounds > 0 ? setting.rounds : job.rounds, contenders);
}

}  // namespace

const std::vector<Runner>& Runners(const Setting& setting) {
  static const std::vector<Runner> runners = Find(setting);
  return runners;
}

nlohmann::json CompareRunners(const Setting& setting, const std::string& heading,
                              const std::vector<Job>& jobs) {
  return CompareRunners(setting, Runners(setting), heading, jobs);
}

nlohmann::json CompareRunners(const Setting& setting, const std::vector<Runner>& runners,
                              const std::string& heading, const std::vector<Job>& jobs) {
  printf("%-30s", heading.c_str());
  for (const Runner& runner : runners) printf(" %11s", runner.name.c_str());
  printf("\n");
  nlohmann::json all = nlohmann::json::array();
  for (const Job& job : jobs) {
    printf("  %-28s", job.name.c_str());
    nlohmann::json one = {{"name", job.name}, {"unit", job.unit_name}};
    const std::vector<Standing> standings = Compete(setting, runners, job);
    for (const Runner& runner : runners) {
      const auto found = std::find_if(standings.begin(), standings.end(),
                                      [&](const Standing& s) { return s.name == runner.name; });
      if (found == standings.end()) {
        printf(" %11s", "-");
        continue;
      }
      const double value = found->median_seconds * job.unit;
      if (runner.name == "bare") {
        printf(" %8.4g %s", value, job.unit_name);
        one["bare"] = value;
      } else {
        printf(" %9.2f ×", found->ratio);
        auto& place = runner.name == "cellrun" ? one : one["peers"][runner.name];
        place[runner.name == "cellrun" ? "cellrun" : "value"] = value;
        place["ratio"] = found->ratio;
      }
    }
    printf("\n");
    fflush(stdout);
    all.push_back(one);
  }
  return all;
}

}  // namespace cellrun::bench
