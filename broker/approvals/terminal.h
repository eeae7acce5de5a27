// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <string>

namespace cellrun::approvals {

// The controlling terminal of a process: "pts/3", "tty1"; "" where it has none or cannot be told.
std::string TerminalOf(pid_t pid);

// The same from the text of /proc/PID/stat.
std::string TerminalFromStat(const std::string& stat);

}  // namespace cellrun::approvals
