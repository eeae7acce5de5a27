// SPDX-License-Identifier: Apache-2.0
// One decision among few and among many rules, without a kernel.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "lib/policy/policy.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

std::shared_ptr<const policy::Policy> PolicyOf(int rules, const policy::FileLookup& lookup) {
  policy::Source source;
  source.origin = "bench.yaml";
  source.text = "cellrun: 1\nname: bench\npath: [/usr/bin]\ncommands:\n  default: deny\n  rules:\n";
  for (int n = 0; n < rules; ++n) {
    source.text += "    - {when: {exe: /usr/bin/p" + std::to_string(n) + "}, then: allow}\n";
  }
  const policy::Places places = {.home = "/home/user", .workspace = "/home/user/work"};
  auto profile = policy::LoadProfile({source}, places);
  if (!profile.ok()) {
    fprintf(stderr, "bench: %s\n", profile.problems()[0].ToString().c_str());
    exit(1);
  }
  auto compiled = policy::Policy::Compile(std::move(profile).value(), places, lookup);
  if (!compiled.ok()) exit(1);
  return compiled.value();
}

double NanosecondsPerDecision(const policy::Policy& policy, const policy::ExecRequest& request,
                              policy::Action expected) {
  constexpr int kDecisions = 20'000;
  const auto begin = std::chrono::steady_clock::now();
  for (int n = 0; n < kDecisions; ++n) {
    if (policy.Decide(request).action != expected) exit(1);
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
  return took.count() / kDecisions;
}

}  // namespace

nlohmann::json MeasureDecide(const Setting& setting) {
  const policy::FileLookup lookup = [](const std::string& path) {
    const auto number = std::hash<std::string>{}(path);
    return std::optional(policy::FileFacts{{1, number}, path});
  };
  printf("one decision                      first rule    last rule    no rule\n");
  nlohmann::json json = nlohmann::json::array();
  for (const int rules : {10, 1000, 10'000}) {
    const auto policy = PolicyOf(rules, lookup);
    const auto measure = [&](const std::string& path, policy::Action expected) {
      policy::ExecRequest request;
      request.raw_path = path;
      request.images = {{.path = path, .id = lookup(path)->id, .hash = ""}};
      request.argv = {path, "--flag", "argument"};
      request.env = {"PATH=/usr/bin", "HOME=/home/user"};
      request.cwd = "/home/user/work";
      request.parent = "/usr/bin/bash";
      std::vector<double> samples;
      for (int round = 0; round < (setting.rounds > 0 ? setting.rounds : 9); ++round) {
        samples.push_back(NanosecondsPerDecision(*policy, request, expected));
      }
      return Median(samples);
    };
    const double first = measure("/usr/bin/p0", policy::Action::kAllow);
    const double last = measure("/usr/bin/p" + std::to_string(rules - 1), policy::Action::kAllow);
    const double none = measure("/usr/bin/other", policy::Action::kDeny);
    printf("  %6d rules                  %8.0f ns  %8.0f ns  %8.0f ns\n", rules, first, last, none);
    json.push_back({{"rules", rules}, {"first_ns", first}, {"last_ns", last}, {"none_ns", none}});
  }
  return json;
}

}  // namespace cellrun::bench
