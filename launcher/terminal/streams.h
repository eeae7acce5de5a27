// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/wire/launch.h"

namespace cellrun::terminal {

enum class PtyChoice : std::uint8_t { kAuto, kYes, kNo };

// How the command's streams are connected. What a cell gets is a pipe, a terminal of its own or its
// /dev/null: a reopened /proc/self/fd/N must never be a file of the host.
struct Streams {
  std::array<wire::Stream, 3> kinds = {wire::Stream::kNull, wire::Stream::kNull,
                                       wire::Stream::kNull};
  // Of kGiven streams: the end for the cell, and ours if it is relayed. A pipe of the user's goes
  // in directly; then `ours` is not valid.
  std::array<UniqueFd, 3> given, ours;
  bool stderr_joins_stdout = false;  // both are one open file: one pipe keeps their order

  [[nodiscard]] bool pty() const {
    return kinds[0] == wire::Stream::kTerminal || kinds[1] == wire::Stream::kTerminal;
  }
};

// Opens /dev/null in the place of those of 0 to 2 that are closed, so that nothing else can come to
// lie there; which they were.
Result<std::array<bool, 3>> FillStandardStreams();

Result<Streams> ConnectStreams(PtyChoice choice, const std::array<bool, 3>& were_closed);

// Puts a pipe of ours in the place of each output that was given directly.
Result<void> RelayOutputs(Streams& streams);

}  // namespace cellrun::terminal
