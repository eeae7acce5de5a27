// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cellrun::shim {

// What a process becomes whose exec the broker redirected: it asks the broker for a channel and
// does what comes through it. Everything around it is the caller's: arguments and environment
// (never looked at, given on where the broker says so), descriptors, limits, signal mask and
// dispositions, further seccomp filters. It has no rights that the caller lacks, so it needs no
// trust from the cell; it must only end if the broker does not speak. While it waits, signals do
// to it what they would do to the program.
[[noreturn]] void RunWaitingRoom(char** arguments, char** environment);

}  // namespace cellrun::shim
