// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cellrun::shim {

// A child of init that runs one command for the broker (lib/wire/run.h) and owns everything that
// comes of it: the command's session and terminal are the keeper's, orphans below it become its
// children. When its socket is closed before the command has ended, it kills them all. Like init it
// is not dumpable, and never executes.
[[noreturn]] void RunKeeper(int socket);

}  // namespace cellrun::shim
