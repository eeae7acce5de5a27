// SPDX-License-Identifier: Apache-2.0
// What a command costs that runs elsewhere, how soon one begins that a person approved, and what
// other cells notice of one that asks as fast as it can.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/bench/api.h"
#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

using nlohmann::json;

// A profile that lets everything run, but for one rule.
std::string Profile(const Setting& setting, const std::string& name, const std::string& rule) {
  const std::string path = setting.prefix + "/../" + name + ".yaml";
  std::ofstream(path) << "cellrun: 1\nname: " << name
                      << "\nextends: [base]\napprovals: {timeout: 60s}\n"
                         "commands:\n  default: allow\n  rules: ["
                      << rule << "]\n";
  return path;
}

Words InCell(const Setting& setting, const std::string& profile, const std::string& script,
             const Words& flags = {}) {
  Words words = {setting.prefix + "/bin/cellrun", "run", "-w", setting.work, "-p", profile};
  words.insert(words.end(), flags.begin(), flags.end());
  words.insert(words.end(), {"--", "bash", "-c", script});
  return words;
}

// Milliseconds that `command` takes in a cell, each time.
std::vector<double> Times(const Setting& setting, const std::string& profile, int rounds,
                          const std::string& command) {
  const Finished finished =
      RunCommand(InCell(setting, profile,
                        command + "; for i in $(seq " + std::to_string(rounds) +
                            "); do a=${EPOCHREALTIME/./}; " + command +
                            "; b=${EPOCHREALTIME/./}; echo $((b-a)); done"),
                 setting.work);
  std::istringstream lines(finished.out);
  std::vector<double> times;
  for (double microseconds = 0; lines >> microseconds;) times.push_back(microseconds / 1e3);
  return times;
}

double Percentile(std::vector<double> values, double share) {
  if (values.empty()) return -1;
  std::sort(values.begin(), values.end());
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
  return values[at];
}

// The ask that waits.
json NextAsk() {
  for (int i = 0; i < 20'000; ++i) {
    if (std::vector<json> asks = PendingAsks(); !asks.empty()) return std::move(asks.front());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return {};
}

void AwaitAsks() {
  for (int i = 0; i < 20'000; ++i) {
    if (AnythingIsAsked()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// From before the answer is sent to what the approved program says first: a clock.
std::vector<double> AfterApproval(const Setting& setting, int rounds) {
  const std::string profile = Profile(setting, "asks", "{when: {exe: date}, then: ask}");
  Finished finished;
  std::thread cell([&] {
    finished = RunCommand(InCell(setting, profile,
                                 "for i in $(seq " + std::to_string(rounds) +
                                     "); do date +%s%N 2>/dev/null; done 2>/dev/null"),
                          setting.work);
  });
  std::vector<double> sent;
  for (int i = 0; i < rounds; ++i) {
    const json ask = NextAsk();
    if (ask.is_null()) break;
    sent.push_back(std::chrono::duration<double, std::milli>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count());
    (void)Answer(ask, "approve");
  }
  cell.join();
  std::istringstream lines(finished.out);
  std::vector<double> times;
  for (const double at : sent) {
    double nanoseconds = 0;
    if (lines >> nanoseconds) times.push_back(nanoseconds / 1e6 - at);
  }
  return times;
}

// Milliseconds until an execve has failed by a rule, each time: a verdict, its record, and nothing
// else.
std::vector<double> Verdicts(const Setting& setting, int rounds) {
  const std::string profile =
      Profile(setting, "verdicts", "{when: {exe: date}, then: deny, errno: EACCES}");
  const Finished finished =
      RunCommand(InCell(setting, profile,
                        "exec python3 -c 'import os, time\n"
                        "for i in range(" +
                            std::to_string(rounds) +
                            "):\n"
                            "  begin = time.perf_counter()\n"
                            "  try: os.execv(\"/usr/bin/date\", [\"date\"])\n"
                            "  except PermissionError: print((time.perf_counter() - begin) * 1e3)\n"
                            "  time.sleep(0.001)'"),
                 setting.work);
  std::istringstream lines(finished.out);
  std::vector<double> times;
  for (double milliseconds = 0; lines >> milliseconds;) times.push_back(milliseconds);
  return times;
}

enum class Flood : std::uint8_t {
  kSpawns,  // at most 512 processes, each of which has begun before the next one is made
  kForks,   // as many as there can be
};

// What another cell measures meanwhile.
std::vector<double> DuringFlood(const Setting& setting,
                                const std::function<std::vector<double>()>& measure,
                                Flood kind = Flood::kSpawns) {
  const std::string asks = Profile(setting, "flood", "{when: {exe: id}, then: ask}");
  const bool forks = kind == Flood::kForks;
  const std::string one = forks ? "if os.fork() == 0: os.execv(\"/usr/bin/id\", [\"id\", str(n)])"
                                : "os.posix_spawn(\"/usr/bin/id\", [\"id\", str(n)], os.environ)";
  // No two alike.
  std::thread flood([&] {
    (void)RunCommand(InCell(setting, asks,
                            std::string("exec 2>/dev/null; ") + (forks ? "" : "ulimit -u 512; ") +
                                "exec python3 -c 'import os, signal\n"
                                "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
                                "n = 0\n"
                                "while True:\n"
                                "  n += 1\n"
                                "  try:\n    " +
                                one + "\n  except BlockingIOError: pass'",
                            {"--time", "8s"}),
                     setting.work);
  });
  AwaitAsks();
  std::vector<double> times = measure();
  flood.join();
  return times;
}

}  // namespace

json MeasureAsks(const Setting& setting) {
  const int rounds = setting.rounds > 0 ? setting.rounds : 100;
  const auto elsewhere = [&](const std::string& run) {
    return Profile(setting, run, "{when: {exe: 'true'}, then: allow, run: " + run + "}");
  };
  const std::string plain = elsewhere("in-place");
  std::vector<double> starts;
  for (int i = 0; i < rounds / 4 + 1; ++i)
    starts.push_back(RunCommand(InCell(setting, plain, "exit 0"), setting.work).seconds * 1e3);
  const std::vector<std::pair<const char*, std::vector<double>>> rows = {
      {"a cell, from its start to its end", starts},
      {"true in place", Times(setting, plain, rounds, "/bin/true")},
      {"true, run: mirror", Times(setting, elsewhere("mirror"), rounds, "/bin/true")},
      {"true, run: ghost", Times(setting, elsewhere("ghost"), rounds, "/bin/true")},
      {"from an approval to the command's clock", AfterApproval(setting, rounds)},
      {"true in place, while another cell floods with asks",
       DuringFlood(setting, [&] { return Times(setting, plain, rounds * 5, "/bin/true"); })},
      {"a verdict", Verdicts(setting, rounds * 20)},
      {"a verdict, while another cell floods with asks",
       DuringFlood(setting, [&] { return Verdicts(setting, rounds * 20); })},
      {"a verdict, while another cell forks without a limit to ask",
       DuringFlood(
           setting, [&] { return Verdicts(setting, rounds * 20); }, Flood::kForks)}};
  printf("asked, mirrored, ghosted                                       median         p99\n");
  json all = json::array();
  for (const auto& [name, times] : rows) {
    const double median = Percentile(times, 0.5);
    const double worst = Percentile(times, 0.99);
    printf("  %-58s %7.2f ms  %7.2f ms\n", name, median, worst);
    all.push_back({{"name", name}, {"median_ms", median}, {"p99_ms", worst}});
  }
  return all;
}

}  // namespace cellrun::bench
