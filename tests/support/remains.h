// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

// What a test may leave behind: nothing. The test process is a child subreaper (support main), so
// every process that anything below it ever made is its descendant, daemons and cells' inits
// included.
namespace cellrun::test {

void BecomeReaper();

// All descendants that are alive, zombies included; deepest last.
std::vector<pid_t> Descendants();
// "PID command line" for messages; "" when it is gone.
std::string Describe(pid_t pid);
// Those that run a program of that name.
std::vector<pid_t> DescendantsRunning(const std::string& name);
// How many descriptors a process has open; -1 when that cannot be known.
long DescriptorCount(pid_t pid);

// Reaps orphans until there is no descendant; what is left after `limit`, described and killed.
std::vector<std::string> WaitForNoDescendants(std::chrono::milliseconds limit);

// Lines of /proc/self/mountinfo that mention `text`.
std::vector<std::string> MountsMentioning(const std::string& text);
// Sockets, of any kind, below a directory.
std::vector<std::string> SocketsBelow(const std::string& directory);

}  // namespace cellrun::test
