// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "tests/bench/timing.h"

namespace cellrun::bench {

// A command that runs until its owner ends it. Its input is a pipe that stays open.
class IdleCell {
 public:
  // Returns when the command has written its first byte; ends the program if it does not.
  explicit IdleCell(const Words& argv);
  ~IdleCell();  // SIGTERM, and waits
  IdleCell(IdleCell&& other) noexcept;
  IdleCell& operator=(IdleCell&&) = delete;
  IdleCell(const IdleCell&) = delete;
  IdleCell& operator=(const IdleCell&) = delete;

  void Tell(const char* line) const;  // to its standard input
  // SIGTERM, without waiting: many end at the same time.
  void Terminate() const;
  [[nodiscard]] pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  int input_ = -1, output_ = -1;
};

}  // namespace cellrun::bench
