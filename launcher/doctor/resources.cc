// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "launcher/doctor/probe.h"
#include "lib/cgroup/place.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "lib/wire/runtime_directory.h"

namespace cellrun::doctor {
namespace {

constexpr std::uint64_t kMebibyte = 1 << 20;
constexpr std::size_t kProcFileLimit = 1 << 20;

std::vector<std::string> Lines(const char* path) {
  std::vector<std::string> lines;
  auto text = sys::ReadWholeFileAt(AT_FDCWD, path, kProcFileLimit);
  if (!text.ok()) return lines;
  std::size_t start = 0;
  for (std::size_t end = 0; (end = text->find('\n', start)) != std::string::npos; start = end + 1) {
    lines.push_back(text->substr(start, end - start));
  }
  return lines;
}

// Where cgroup v2 is mounted; "" for nowhere. Fields of mountinfo: … 4 the mount point … " - "
// type.
std::string UnifiedHierarchy() {
  for (const std::string& line : Lines("/proc/self/mountinfo")) {
    if (line.find(" - cgroup2 ") == std::string::npos) continue;
    std::size_t at = 0;
    for (int field = 0; field < 4; ++field) at = line.find(' ', at) + 1;
    return line.substr(at, line.find(' ', at) - at);
  }
  return "";
}

std::string OwnGroup() {
  for (const std::string& line : Lines("/proc/self/cgroup")) {
    if (line.starts_with("0::")) return line.substr(3);
  }
  return "";
}

Observation LookAtController(cgroup::Controller controller) {
  const cgroup::Place place = cgroup::FindPlace(getpid(), {controller});
  if (const auto old = place.old.find(controller); old != place.old.end())
    return Present("cgroup v1, below " + old->second);
  if (!place.parent.empty()) return Present("cgroup v2, below " + place.parent);
  const auto why = place.missing.find(controller);
  return Missing(why == place.missing.end() ? "" : why->second);
}

Observation LookAtInotify() {
  const UniqueFd instance(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!instance.valid()) return MissingWithError(errno, "inotify_init1");
  const auto limit = Lines("/proc/sys/fs/inotify/max_user_watches");
  return Present(limit.empty() ? "" : limit[0] + " watches for each user");
}

Observation LookAtDescriptors() {
  constexpr std::uint64_t kEnough = 4096;
  const auto limit = sys::GetLimit(RLIMIT_NOFILE);
  if (!limit.ok()) return Missing(limit.error().ToString());
  const std::string shown =
      limit->rlim_max == RLIM64_INFINITY ? "unlimited" : std::to_string(limit->rlim_max);
  if (limit->rlim_max < kEnough) return Missing("hard limit " + shown);
  return Present("hard limit " + shown);
}

Observation LookAtDisk() {
  constexpr std::uint64_t kEnough = 64 * kMebibyte;
  auto directory = wire::StateDirectory();
  if (!directory.ok()) return Missing(directory.error().ToString());
  const auto opened = sys::OpenAt(AT_FDCWD, directory->c_str(), O_RDONLY | O_DIRECTORY);
  if (!opened.ok()) return Missing(opened.error().ToString());
  const auto space = sys::Fstatvfs(*opened);
  if (!space.ok()) return Missing(space.error().ToString());
  const std::uint64_t bytes = space->f_bavail * space->f_frsize;
  const std::string shown = std::to_string(bytes / kMebibyte) + " MiB free in " + *directory;
  return bytes < kEnough ? Missing(shown) : Present(shown);
}

constexpr char kDelegate[] = "systemd-run --user --scope -p Delegate=yes cellrun …";

constexpr std::array kProbes = {
    Probe{"resources", "space for the journal", Need::kRequired,
          "what cannot be recorded is denied: nothing would run",
          "free space, or set CELLRUN_STATE_DIR", LookAtDisk},
    Probe{"resources", "file descriptors", Need::kRecommended,
          "the broker can serve few cells and connections", "ulimit -Hn 65536", LookAtDescriptors},
    Probe{"resources", "inotify", Need::kRecommended,
          "protected names that appear while a cell runs are found at its end only",
          "sudo sysctl -w fs.inotify.max_user_instances=1024", LookAtInotify},
    Probe{"resources", "cgroup.memory", Need::kInformation,
          "limits.memory bounds each process alone; a profile that requires cgroup.memory does "
          "not start",
          &kDelegate[0], [] { return LookAtController(cgroup::Controller::kMemory); }},
    Probe{"resources", "cgroup.pids", Need::kInformation,
          "limits.processes is kept by RLIMIT_NPROC; a profile that requires cgroup.pids does not "
          "start",
          &kDelegate[0], [] { return LookAtController(cgroup::Controller::kPids); }},
    Probe{"resources", "cgroup.cpu", Need::kInformation,
          "limits.cpus keeps a cell on whole processors; a profile that requires cgroup.cpu does "
          "not start",
          &kDelegate[0], [] { return LookAtController(cgroup::Controller::kCpu); }},
};

}  // namespace

std::string OwnCgroup() {
  const std::string mount = UnifiedHierarchy();
  const std::string group = OwnGroup();
  if (mount.empty() || group.empty()) return "";
  return mount + (group == "/" ? "" : group);
}

std::span<const Probe> ResourceProbes() {
  return kProbes;
}

}  // namespace cellrun::doctor
