// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lib/base/result.h"

namespace cellrun::cgroup {

// What a cell can be limited in.
enum class Controller : std::uint8_t { kMemory, kPids, kCpu };
inline constexpr std::array kControllers = {Controller::kMemory, Controller::kPids,
                                            Controller::kCpu};
const char* ControllerName(Controller controller);  // as the kernel calls it: "memory"
const char* LayerName(Controller controller);       // as `require` does: "cgroup.memory"

// The mounts of cgroup file systems, and where a process is in them.
class Hierarchies {
 public:
  // Those of this process's mount namespace.
  static Result<Hierarchies> Read();
  // As /proc/self/mountinfo and /proc/PID/cgroup have them.
  static Hierarchies Parse(std::string_view mountinfo);

  struct Found {
    std::string directory;  // of the group that the process is in
    std::string mount;      // what it lies below, or is
  };
  // ENOENT: no such hierarchy is mounted that shows the group. `groups`: text of /proc/PID/cgroup.
  [[nodiscard]] Result<Found> Unified(std::string_view groups) const;
  // In version 1. Never one that counts memory: other programs of a host use that.
  [[nodiscard]] Result<Found> Old(Controller controller, std::string_view groups) const;

 private:
  struct Mount {
    bool unified = false;
    std::vector<std::string> controllers;  // of version 1
    std::string root, point;               // without a slash at its end
  };
  [[nodiscard]] Result<Found> Locate(const std::vector<const Mount*>& mounts,
                                     std::string_view group) const;
  std::vector<Mount> mounts_;
};

// Text of /proc/PID/cgroup.
Result<std::string> GroupsOf(pid_t pid);

}  // namespace cellrun::cgroup
