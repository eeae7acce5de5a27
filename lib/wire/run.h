// SPDX-License-Identifier: Apache-2.0
// A command that runs elsewhere than in the process that asked for it (`run: mirror`, `run:
// ghost`). Three parties: the shim that the caller has become (it has the caller's streams and
// terminal), the broker, and a keeper: a child of the init of the cell that the command runs in.
// Each conversation is a SOCK_SEQPACKET pair with one end at the broker; a packet is a
// ControlHeader and its payload. Plain structs, shared with the shim.
//
//   broker -> shim     kShimRun (control.h)
//   shim   -> broker   kRunOffer: what the command gets of the caller
//   broker -> init     kKeep, with the keeper's end of its socket
//   broker -> keeper   kRunOrder
//   keeper -> broker   kRunTerminal (if there is one), kRunReady by the command's own process
//   broker -> keeper   kRunGo: the one exec that this process may do is known
//   both ways          kRunSignal, kRunForeground, kRunStopped, until kRunEnded or kRunFailed
//
// The end of file of either channel before that kills the command and all its descendants.
#pragma once

#include <stdint.h>

#include "lib/wire/control.h"

namespace cellrun::wire {

enum RunType : uint32_t {
  kRunOffer = 40,  // payload: RunSurroundings. fds: working directory, then those of `numbers`
  kRunOrder = 41,  // payload: RunCommand. fds: strings, the working directory where `has_directory`
                   // says so, then those of `numbers`
  kRunReady = 42,  // sent by the process that will execute the command, so that its credentials
                   // tell the broker who that is
  kRunGo = 43,
  kRunTerminal = 44,    // fds: the PTY's master
  kRunSignal = 45,      // a: signal, b: 1 for the command's process group
  kRunForeground = 46,  // a: whether the caller's process group is the terminal's foreground one
  kRunStopped = 47,     // a: the stop signal
  kRunEnded = 48,       // a: wait status as wait(2)
  kRunFailed = 49,      // a: errno, b: SpawnStep; to the shim: a: exit status, payload: text
};

// What passes with one command beside the working directory: descriptors with numbers below
// kMaxRunNumber, as the caller has them.
constexpr uint32_t kMaxRunDescriptors = 14;
constexpr uint32_t kMaxRunNumber = 256;
constexpr uint32_t kRunLimits = 16;  // RLIM_NLIMITS
constexpr uint32_t kMaxRunText = 4096;

struct RunLimit {
  uint64_t soft, hard;
};

// What the caller's process has, and the command gets. Comes from a cell: nothing of it is a right.
struct RunSurroundings {
  uint32_t foreground;  // see kRunForeground
  uint32_t umask;
  int32_t nice;
  uint16_t rows, columns;         // of the terminal
  uint64_t ignored, blocked;      // signals: bit N-1
  RunLimit limits[kRunLimits];    // never more than init's
  uint64_t terminals[4];          // descriptors that are the caller's terminal: bit N
  uint8_t terminal_settings[64];  // struct termios of TCGETS
  uint32_t count;                 // of numbers
  uint8_t numbers[kMaxRunDescriptors];
  uint8_t padding[2];
};

struct RunCommand {
  uint32_t argument_count;
  uint32_t environment_count;
  uint32_t block_bytes;    // program, working directory, arguments, environment: as in a SpawnOrder
  uint32_t has_directory;  // 1: as a descriptor, and the one in the block is not looked at
  RunSurroundings surroundings;
};

}  // namespace cellrun::wire
