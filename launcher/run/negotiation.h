// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "launcher/cell/cell.h"
#include "launcher/client/launch_connection.h"
#include "launcher/terminal/streams.h"
#include "lib/wire/launch.h"

namespace cellrun::launcher {

// What a run has once the broker agreed to it.
struct Planned {
  LaunchConnection connection;
  wire::CellPlan plan;
  StartedCell cell;  // it has its plan
  terminal::Streams streams;
  // Init's end of the control socket. Held until the broker has been told of the start: without it,
  // the end of a child that fails at once would come first, and count for more.
  UniqueFd control;
};

// The conversation up to the plan: hello, request, the documents that the broker needs; and the
// start of the cell meanwhile.
Outcome<Planned> Negotiate(wire::RunRequest request, terminal::Streams streams);

}  // namespace cellrun::launcher
