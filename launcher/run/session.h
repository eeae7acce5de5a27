// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "launcher/cell/cell.h"
#include "launcher/client/launch_connection.h"
#include "launcher/run/held_signals.h"
#include "launcher/terminal/streams.h"
#include "lib/wire/launch.h"

namespace cellrun::launcher {

struct SessionResult {
  std::optional<wire::ExitReport> report;
  int ended_by_signal =
      0;  // the user ended the whole cell with it: a second SIGTERM, a closed terminal
  bool output_ended = false;  // it printed more than it may
  std::string lost;           // why there is no report
};

// Relays streams, terminal, signals and window size between the user and the running cell until it
// has ended, and everything it wrote was passed on. At the end the cell is reaped and the terminal
// is as it was.
//
// SIGINT, SIGQUIT, SIGUSR1, SIGUSR2 and SIGTERM go to the command; a second SIGTERM within two
// seconds ends the cell. SIGHUP goes to the command and ends the cell two seconds later. SIGTSTP
// stops the command and then the launcher; SIGCONT resumes both.
//
// What the cell prints comes through up to `output_bytes`, and then the cell is ended; 0: all of
// it.
SessionResult RunSession(const LaunchConnection& connection, StartedCell& cell,
                         terminal::Streams streams, const HeldSignals& signals, bool filter_output,
                         std::uint64_t output_bytes);

}  // namespace cellrun::launcher
