// SPDX-License-Identifier: Apache-2.0
// What a judged exec costs: posix_spawn of a minimal static program, bare and in a cell, where each
// is continued without verification, verified, refused, redirected, or missing.
//
//   exec_bench MINIMAL-PROGRAM [rounds]
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
  printf("%s", cell.output.c_str());
  fflush(stdout);
}

int Main(const std::string& program, int rounds) {
  for (int turn = 0; turn < 3; ++turn) {
    (void)Measure("bare", program, rounds);
    JudgedCell continued, verified, refused, redirected, missing;
    continued.uniform = policy::Action::kAllow;
    InCell("continued", continued, program, rounds);
    InCell("verified", verified, program, rounds);
    refused.decide = [](const policy::ExecRequest&) { return Deny(EPERM); };
    InCell("refused", refused, program, rounds);
    redirected.decide = [](const policy::ExecRequest&) { return Deny(0); };
    InCell("redirected", redirected, program, std::min(rounds, 200));
    InCell("missing", missing, program + "-no", rounds);
  }
  return 0;
}

}  // namespace
}  // namespace cellrun::exec

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  return cellrun::exec::Main(argv[1], argc > 2 ? std::atoi(argv[2]) : 1000);
}
