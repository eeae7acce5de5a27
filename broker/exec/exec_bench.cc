// SPDX-License-Identifier: Apache-2.0
// What a judged exec costs: posix_spawn of a minimal static program, bare and in a cell, where each
// is continued without verification, verified, refused, redirected, or missing.
//
//   exec_bench MINIMAL-PROGRAM [rounds [mode]]
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "broker/exec/judged_cell.h"

namespace cellrun::exec {
namespace {

double Once(const std::string& program) {
  std::string name = "minimal";
  std::vector<char*> argv = {name.data(), nullptr};
  const auto start = std::chrono::steady_clock::now();
  pid_t child = -1;
  if (posix_spawn(&child, program.c_str(), nullptr, nullptr, argv.data(), environ) == 0) {
    waitpid(child, nullptr, 0);
  }
  const auto taken = std::chrono::steady_clock::now() - start;
  return std::chrono::duration<double, std::micro>(taken).count();
}

int Measure(const char* what, const std::string& program, int rounds) {
  std::vector<double> times;
  for (int i = 0; i < rounds + 50; ++i) {
    const double taken = Once(program);
    if (i >= 50) times.push_back(taken);
  }
  std::sort(times.begin(), times.end());
  dprintf(STDOUT_FILENO, "%-12s p50 %7.1f us  p90 %7.1f us\n", what, times[times.size() / 2],
          times[times.size() * 9 / 10]);
  return 0;
}

void InCell(const char* what, JudgedCell& cell, const std::string& program, int rounds) {
  (void)cell.Run([&] { return Measure(what, program, rounds); });
  const std::size_t at = cell.output.rfind(what);  // behind what redirected ones said
  if (at != std::string::npos) printf("%s", cell.output.c_str() + at);
  fflush(stdout);
}

struct Mode {
  const char* name;
  std::function<policy::Verdict(const policy::ExecRequest&)> decide;
  std::optional<policy::Action> uniform;
  std::string suffix;  // of the program
  int share = 1;       // of the rounds: 1/share
};

int Main(const std::string& program, int rounds, const std::string& only) {
  const auto refuse = [](const policy::ExecRequest&) { return Deny(EPERM); };
  const auto explain = [](const policy::ExecRequest&) { return Deny(0); };
  const std::vector<Mode> modes = {{"continued", nullptr, policy::Action::kAllow, "", 1},
                                   {"verified", nullptr, std::nullopt, "", 1},
                                   {"refused", refuse, std::nullopt, "", 1},
                                   {"redirected", explain, std::nullopt, "", 5},
                                   {"missing", nullptr, std::nullopt, "-no", 1}};
  for (int turn = 0; turn < 3; ++turn) {
    if (only.empty()) (void)Measure("bare", program, rounds);
    for (const Mode& mode : modes) {
      if (!only.empty() && only != mode.name) continue;
      JudgedCell cell;
      cell.decide = mode.decide;
      cell.uniform = mode.uniform;
      InCell(mode.name, cell, program + mode.suffix, rounds / mode.share);
    }
  }
  return 0;
}

}  // namespace
}  // namespace cellrun::exec

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  return cellrun::exec::Main(argv[1], argc > 2 ? std::atoi(argv[2]) : 1000,
                             argc > 3 ? argv[3] : "");
}
