// SPDX-License-Identifier: Apache-2.0
// What a cell costs while it sits there: proportional set size of launcher and init, growth of the
// broker.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/bench/timing.h"

namespace cellrun::bench {
namespace {

struct Cell {
  pid_t launcher = -1;
  int output = -1;
};

// A cell whose command has started: it has written a line.
Cell StartCell(const Setting& setting) {
  const Words argv = setting.InCell({"bash", "-c", "echo up; read -r forever"});
  int out[2] = {-1, -1};
  int in[2] = {-1, -1};
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(in, O_CLOEXEC) != 0) abort();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], 0);
  posix_spawn_file_actions_adddup2(&actions, out[1], 1);
  std::vector<char*> pointers;
  pointers.reserve(argv.size() + 1);
  for (const auto& word : argv) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  Cell cell;
  if (posix_spawn(&cell.launcher, pointers[0], &actions, nullptr, pointers.data(), environ) != 0)
    abort();
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(in[0]);  // the write end of the input stays open: the command waits
  cell.output = out[0];
  char byte = 0;
  if (read(out[0], &byte, 1) != 1) {
    fprintf(stderr, "bench: a cell did not start\n");
    exit(1);
  }
  return cell;
}

long Pss(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/smaps_rollup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Pss:")) return std::stol(line.substr(4));
  }
  return 0;  // init's memory map is closed to others than root
}

long Rss(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
  }
  return 0;
}

std::vector<pid_t> Children(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children");
  std::vector<pid_t> children;
  for (pid_t child = 0; file >> child;) children.push_back(child);
  return children;
}

pid_t Broker(const Setting& setting) {
  const Finished status =
      RunCommand({setting.prefix + "/bin/cellrun", "broker", "status", "-o", "json"});
  const auto json = nlohmann::json::parse(status.out, nullptr, false);
  return json.is_object() ? json.value("pid", 0) : 0;
}

// Both let go of what only starting needed: the launcher after 0.1 s, the broker after 2 s.
void Settle() {
  usleep(3'000'000);
}

}  // namespace

nlohmann::json MeasureMemory(const Setting& setting) {
  RunCommand(setting.InCell({"/bin/true"}), setting.work);
  const pid_t broker = Broker(setting);
  Settle();
  const long idle = Rss(broker);
  std::vector<Cell> cells = {StartCell(setting)};
  Settle();
  const long launcher = Pss(cells[0].launcher);
  long init = 0;
  for (const pid_t child : Children(cells[0].launcher)) init += Pss(child);
  const long one = Rss(broker);
  while (cells.size() < 20) cells.push_back(StartCell(setting));
  Settle();
  const long twenty = Rss(broker);
  for (const auto& cell : cells) kill(cell.launcher, SIGTERM);
  for (const auto& cell : cells) {
    waitpid(cell.launcher, nullptr, 0);
    close(cell.output);
  }
  printf(
      "memory\n  launcher (PSS)               %7ld KiB\n  init (PSS)                   %7ld KiB\n",
      launcher, init);
  printf("  broker (RSS), no cell        %7ld KiB\n  broker, 1 cell               %7ld KiB\n", idle,
         one);
  printf("  broker, 20 cells             %7ld KiB   %ld KiB a cell\n", twenty, (twenty - one) / 19);
  return {{"launcher_pss_kib", launcher},
          {"init_pss_kib", init},
          {"broker_idle_rss_kib", idle},
          {"broker_1_cell_rss_kib", one},
          {"broker_20_cells_rss_kib", twenty}};
}

}  // namespace cellrun::bench
