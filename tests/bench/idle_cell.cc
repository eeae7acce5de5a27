// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/idle_cell.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace cellrun::bench {

IdleCell::IdleCell(const Words& argv) {
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
  if (posix_spawnp(&pid_, pointers[0], &actions, nullptr, pointers.data(), environ) != 0) abort();
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  close(in[0]);
  input_ = in[1];
  output_ = out[0];
  char byte = 0;
  if (read(output_, &byte, 1) == 1) return;
  fprintf(stderr, "bench: %s did not start\n", pointers[0]);
  exit(1);
}

IdleCell::IdleCell(IdleCell&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)) {}

void IdleCell::Tell(const char* line) const {
  if (dprintf(input_, "%s\n", line) < 0) perror("bench: a cell's input");
}

void IdleCell::Terminate() const {
  kill(pid_, SIGTERM);
}

IdleCell::~IdleCell() {
  if (pid_ <= 0) return;
  close(input_);
  kill(pid_, SIGTERM);
  close(output_);
  waitpid(pid_, nullptr, 0);
}

}  // namespace cellrun::bench
