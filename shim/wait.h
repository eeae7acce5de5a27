// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cellrun::shim {

// What a process becomes whose exec the broker redirected: it asks the broker for a channel and
// does what comes through it. Everything around it is the caller's: arguments and environment
// (never looked at), descriptors, limits, signal mask, further seccomp filters. It has no rights
// that the caller lacks, so it needs no trust from the cell; it must only end if the broker does
// not speak.
[[noreturn]] void RunWaitingRoom();

}  // namespace cellrun::shim
