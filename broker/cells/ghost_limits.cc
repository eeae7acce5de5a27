// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/ghost_limits.h"

#include <optional>

#include "lib/cgroup/place.h"

namespace cellrun::cells {
namespace {

using cgroup::Controller;

// The first of each.
struct Limited {
  std::optional<policy::Position> memory, cpu;
};

template <typename T>
void Note(const std::optional<policy::Placed<T>>& limit, std::optional<policy::Position>& at) {
  if (limit && !at) at = limit->at;
}

Limited FindLimited(const policy::Profile& profile) {
  Limited found;
  const auto look = [&](const policy::Limits& limits) {
    Note(limits.memory_bytes, found.memory);
    Note(limits.cpus, found.cpu);
  };
  for (const policy::CommandRule& rule : profile.command_rules) {
    if (rule.ghost) look(rule.ghost->limits);
  }
  for (const policy::Tool& tool : profile.tools) look(tool.ghost.limits);
  return found;
}

}  // namespace

std::vector<std::string> GhostLimitWarnings(const policy::Profile& profile, pid_t launcher) {
  const Limited limited = FindLimited(profile);
  cgroup::Controllers wanted;
  if (limited.memory) wanted.insert(Controller::kMemory);
  if (limited.cpu) wanted.insert(Controller::kCpu);
  if (wanted.empty()) return {};
  std::vector<std::string> warnings;
  for (const auto& [controller, why] : cgroup::FindPlace(launcher, wanted).missing) {
    const bool memory = controller == Controller::kMemory;
    const policy::Position& at = memory ? *limited.memory : *limited.cpu;
    warnings.push_back(std::string(memory ? "limits.memory" : "limits.cpus") + " of a ghost (" +
                       at.ToString() + "): not enforced for it as a whole, only " +
                       (memory ? "for each process and each tmpfs alone" : "by whole processors") +
                       ": " + why);
  }
  return warnings;
}

}  // namespace cellrun::cells
