// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/timing.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace cellrun::bench {
namespace {
using Clock = std::chrono::steady_clock;
}

Finished RunCommand(const Words& argv, const std::string& directory) {
  int ends[2] = {-1, -1};
  if (pipe2(ends, O_CLOEXEC) != 0) abort();
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
  if (!directory.empty()) posix_spawn_file_actions_addchdir_np(&actions, directory.c_str());
  std::vector<char*> pointers;
  pointers.reserve(argv.size() + 1);
  for (const auto& word : argv) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);

  Finished finished;
  const auto begin = Clock::now();
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, pointers[0], &actions, nullptr, pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    fprintf(stderr, "bench: %s: %s\n", pointers[0], strerror(error));
    close(ends[0]);
    return finished;
  }
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = read(ends[0], buffer.data(), buffer.size())) > 0;) {
    finished.out.append(buffer.data(), static_cast<std::size_t>(count));
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  finished.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  finished.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return finished;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<Standing> Compare(int rounds, const std::vector<Contender>& contenders) {
  const std::size_t count = contenders.size();
  std::vector<std::vector<double>> seconds(count);
  std::vector<std::vector<double>> ratios(count);
  for (int round = -1; round < rounds; ++round) {
    std::vector<double> now(count);
    for (std::size_t turn = 0; turn < count; ++turn) {
      const std::size_t who = (turn + static_cast<std::size_t>(round + 1)) % count;
      now[who] = contenders[who].run();
      if (now[who] < 0) {
        fprintf(stderr, "bench: %s failed\n", contenders[who].name.c_str());
        exit(1);
      }
    }
    if (round < 0) continue;
    for (std::size_t who = 0; who < count; ++who) {
      seconds[who].push_back(now[who]);
      ratios[who].push_back(now[who] / now[0]);
    }
  }
  std::vector<Standing> standings;
  for (std::size_t who = 0; who < count; ++who) {
    standings.push_back({contenders[who].name, Median(seconds[who]), Median(ratios[who])});
  }
  return standings;
}

Words Setting::InCell(const Words& argv) const {
  Words words = {prefix + "/bin/cellrun",
                 "run",
                 "--profile",
                 profile,
                 "--workspace",
                 work,
                 "--read",
                 cells,
                 "--"};
  words.insert(words.end(), argv.begin(), argv.end());
  return words;
}

}  // namespace cellrun::bench
