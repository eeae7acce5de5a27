// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/resource.h>

namespace cellrun::shim {

// The waiting room's part of a command that runs elsewhere (lib/wire/run.h): hands its streams
// over, relays its terminal and its signals, stops and goes on with the command, and ends as the
// command does. `files` is the limit that the caller had, `flags` those of kShimRun.
[[noreturn]] void RunElsewhere(int channel, const rlimit& files, unsigned flags);

}  // namespace cellrun::shim
