// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

// What `cellrun doctor` looks at. Every probe calls the feature itself, in a forked child where the
// call changes the caller: neither a version nor the existence of a file says that it works here.
namespace cellrun::doctor {

enum class State : std::uint8_t {
  kPresent,
  kMissing,
  kNotNeeded,
  kUnknown,  // what it needs is missing, so nothing can be said about it
};
enum class Need : std::uint8_t {
  kRequired,     // without it no cell starts, or none would hold
  kRecommended,  // without it a layer is missing; a profile that requires that layer does not start
  kInformation,  // used where it is there
};

const char* StateName(State state);  // "present" "missing" "not needed" "unknown"
const char* NeedName(Need need);     // "required" "recommended" "information"

struct Observation {
  State state = State::kMissing;
  std::string detail;
  // Instead of the table's, where the reason was found; "" otherwise.
  std::string fix;
};

struct Probe {
  const char* group;  // "kernel", "installation", "broker"
  const char* name;
  Need need;
  const char* cost;  // of its absence
  const char* fix;   // one command, or what else helps
  Observation (*look)();
  // The name of an earlier probe, needed no less than this one, without which this one fails
  // whatever the kernel has; "" for none.
  const char* needs = "";
};

struct Finding {
  std::string group, name;
  Need need = Need::kInformation;
  State state = State::kMissing;
  std::string detail;
  std::string cost, fix;  // "" when the feature is present
};

std::span<const Probe> NamespaceProbes();
std::span<const Probe> MountProbes();
std::span<const Probe> SupervisionProbes();
std::span<const Probe> ConfinementProbes();
std::span<const Probe> ResourceProbes();
std::span<const Probe> InstallationProbes();

// All of the above, in this order.
std::vector<Finding> LookAtEverything();
// What `probe` sees now, after `earlier`.
Finding LookAt(const Probe& probe, const std::vector<Finding>& earlier);

inline constexpr char kUserNamespaces[] = "user namespaces";
inline constexpr char kMountApi[] = "new mount API";
inline constexpr char kProc[] = "proc in a pid namespace";
inline constexpr char kTracing[] = "tracing a task of a cell";

// The directory of this process's cgroup in the hierarchy of v2; "" where there is none.
std::string OwnCgroup();

// Observations in few words.
Observation Present(std::string detail = "");
Observation Missing(std::string detail, std::string fix = "");
// "EPERM: Operation not permitted".
Observation MissingWithError(int code, const std::string& doing, std::string fix = "");

}  // namespace cellrun::doctor
