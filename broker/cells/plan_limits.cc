// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/plan_limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "lib/sys/process.h"
#include "lib/wire/control.h"

namespace cellrun::cells {
namespace {

// `inits` is set for init, so that `wanted` holds in the cell.
void AddLimit(int resource, const char* name, std::uint64_t wanted, std::uint64_t inits,
              wire::CellPlan& plan) {
  const Result<rlimit64> now = sys::GetLimit(resource);
  const std::uint64_t granted = now.ok() ? std::min<std::uint64_t>(inits, now->rlim_max) : inits;
  if (granted < inits) {
    plan.warnings.push_back("limits." + std::string(name) + ": less than " +
                            std::to_string(wanted) + ", because the host's hard limit is " +
                            std::to_string(granted));
  }
  plan.limits.push_back({.resource = resource, .soft = granted, .hard = granted, .name = name});
}

// What init needs so that the commands it starts get `files`: it keeps wire::kReservedFiles, or a
// quarter, to itself.
std::uint64_t InitsFiles(std::uint64_t files) {
  constexpr std::uint64_t kFromHere = 3 * wire::kReservedFiles;
  return files >= kFromHere ? files + wire::kReservedFiles : files + files / 3;
}

std::string WhyNot(const WholeLimits& whole, const char* layer) {
  const auto found = whole.missing.find(layer);
  return found == whole.missing.end() ? "" : ": " + found->second;
}

// What is shared, such as a memory file, counts for nobody then.
void LimitEachMemory(std::uint64_t bytes, const WholeLimits& whole, wire::CellPlan& plan) {
  AddLimit(RLIMIT_DATA, "memory", bytes, bytes, plan);
  plan.warnings.push_back(
      "limits.memory: not enforced for the cell as a whole, only for each process and each "
      "tmpfs alone" +
      WhyNot(whole, "cgroup.memory"));
}

// A cell keeps whole ones, and may not take others (the filter).
Result<void> LimitProcessors(double cpus, const WholeLimits& whole_limits, wire::CellPlan& plan) {
  const std::size_t there = TRY(sys::Processors()).size();
  const double whole = std::ceil(cpus);
  if (whole < static_cast<double>(there)) {
    plan.processors = static_cast<std::uint32_t>(whole);
    if (whole == cpus) return {};
  } else if (cpus >= static_cast<double>(there)) {
    return {};
  }
  const auto kept = std::min<std::uint64_t>(there, static_cast<std::uint64_t>(whole));
  plan.warnings.push_back("limits.cpus: not enforced, but for " + std::to_string(kept) +
                          (kept == 1 ? " whole processor" : " whole processors") +
                          WhyNot(whole_limits, "cgroup.cpu"));
  return {};
}

}  // namespace

Result<void> PlanLimits(const PlanInput& input, wire::CellPlan& plan) {
  const policy::Limits& limits = input.profile.limits;
  AddLimit(RLIMIT_CORE, "core", 0, 0, plan);
  if (limits.processes)
    AddLimit(RLIMIT_NPROC, "processes", limits.processes->value, limits.processes->value, plan);
  if (limits.files)
    AddLimit(RLIMIT_NOFILE, "files", limits.files->value, InitsFiles(limits.files->value), plan);
  if (limits.memory_bytes && !input.whole.Has("cgroup.memory"))
    LimitEachMemory(limits.memory_bytes->value, input.whole, plan);
  if (limits.cpus && !input.whole.Has("cgroup.cpu"))
    TRY(LimitProcessors(limits.cpus->value, input.whole, plan));
  if (limits.output_bytes) plan.output_bytes = limits.output_bytes->value;
  plan.time_limit = input.request.time_limit;
  if (limits.time && (plan.time_limit.count() == 0 || limits.time->value < plan.time_limit))
    plan.time_limit = limits.time->value;
  return {};
}

}  // namespace cellrun::cells
