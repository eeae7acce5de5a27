// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "lib/wire/control.h"
#include "shim/block.h"

namespace cellrun::shim {

struct SpawnPlan {
  wire::SpawnOrder order;
  Block block;
  int streams[3] = {-1, -1, -1};  // what was given; borrowed
};

// What the child says before it exits, when it could not execute. One write, so it comes whole.
struct SpawnFailure {
  int32_t step;  // wire::SpawnStep
  int32_t code;
};

struct Spawned {
  pid_t pid = 0;
  int failure_pipe = -1;  // a SpawnFailure, or end of file when the exec succeeded
  int terminal = -1;      // the PTY's master, where the order asks for one
};

// Forks a process that executes `plan`; never vforks, because its exec waits for the broker and
// init must go on answering it meanwhile. `failure.code` is 0, or why there is no process.
Spawned Spawn(const SpawnPlan& plan, SpawnFailure& failure);

// A PTY straight from devpts, whose root a cell cannot write to; 0 or an errno.
int OpenMaster(uint16_t rows, uint16_t columns, int& master);
// Leaves wire::kReservedFiles to init; 0 or an errno.
int LowerFileLimit();

}  // namespace cellrun::shim
