// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <set>
#include <string>
#include <utility>

#include "broker/net/wall/cgroup.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// Processes of a cell that somebody has moved out of its cgroup: the wall does not hold them. Only
// whoever has privileges on the host can do that.
class Strays {
 public:
  Strays() = default;
  // Of the pid namespace of that process, which its root directory has a procfs of; without one
  // (in some containers) nothing is ever found.
  static Strays Of(pid_t init);

  // Whether a process was outside at this look and at the one before. One that has just been made
  // is for a moment in no cgroup, so a single look tells nothing.
  bool Look(const Cgroup& cgroup);

 private:
  using Process = std::pair<std::string, std::string>;  // its number and when it began
  [[nodiscard]] std::set<Process> Outside(const Cgroup& cgroup) const;

  UniqueFd processes_;  // the procfs
  std::set<Process> suspects_;
};

}  // namespace cellrun::net
