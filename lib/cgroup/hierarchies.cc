// SPDX-License-Identifier: Apache-2.0
#include "lib/cgroup/hierarchies.h"

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "lib/sys/file.h"

namespace cellrun::cgroup {
namespace {

constexpr std::size_t kMaxFile = 1024 * 1024;
constexpr std::array kNames = {"memory", "pids", "cpu"};
constexpr std::array kLayers = {"cgroup.memory", "cgroup.pids", "cgroup.cpu"};

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in{std::string(text)};
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

bool Holds(const std::vector<std::string>& list, std::string_view item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

std::string WithoutSlash(std::string path) {
  if (path.ends_with('/')) path.pop_back();
  return path;
}

bool Suits(const std::vector<std::string>& controllers, Controller controller) {
  return Holds(controllers, ControllerName(controller)) && !Holds(controllers, "memory");
}

}  // namespace

const char* ControllerName(Controller controller) {
  return kNames.at(static_cast<std::size_t>(controller));
}
const char* LayerName(Controller controller) {
  return kLayers.at(static_cast<std::size_t>(controller));
}

Result<Hierarchies> Hierarchies::Read() {
  return Parse(TRY(sys::ReadWholeFileAt(AT_FDCWD, "/proc/self/mountinfo", kMaxFile)));
}

// Fields: id, parent, device, root, mount point, options, …, "-", type, source, super options.
Hierarchies Hierarchies::Parse(std::string_view mountinfo) {
  Hierarchies read;
  for (const std::string& line : Split(mountinfo, '\n')) {
    const std::vector<std::string> words = Split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.end() - dash < 4 || dash - words.begin() < 6) continue;
    const bool unified = dash[1] == "cgroup2";
    if (!unified && dash[1] != "cgroup") continue;
    read.mounts_.push_back({.unified = unified,
                            .controllers = Split(dash[3], ','),
                            .root = WithoutSlash(words[3]),
                            .point = WithoutSlash(words[4])});
  }
  return read;
}

Result<Hierarchies::Found> Hierarchies::Locate(const std::vector<const Mount*>& mounts,
                                               std::string_view group) const {
  for (const Mount* mount : mounts) {
    if (!(std::string(group) + "/").starts_with(mount->root + "/")) continue;
    return Found{
        .directory = WithoutSlash(mount->point + std::string(group.substr(mount->root.size()))),
        .mount = mount->point};
  }
  return Error(
      ENOENT, "",
      mounts.empty() ? "it is not mounted" : "it is not mounted where its own group shows");
}

Result<Hierarchies::Found> Hierarchies::Unified(std::string_view groups) const {
  std::vector<const Mount*> mounts;
  for (const Mount& mount : mounts_) {
    if (mount.unified) mounts.push_back(&mount);
  }
  for (const std::string& line : Split(groups, '\n')) {
    if (line.starts_with("0::/")) return Locate(mounts, line.substr(3));
  }
  return Error(ENOENT, "", "this kernel does not have it");
}

Result<Hierarchies::Found> Hierarchies::Old(Controller controller, std::string_view groups) const {
  std::vector<const Mount*> mounts;
  for (const Mount& mount : mounts_) {
    if (!mount.unified && Suits(mount.controllers, controller)) mounts.push_back(&mount);
  }
  for (const std::string& line : Split(groups, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    if (!Suits(Split(line.substr(first + 1, second - first - 1), ','), controller)) continue;
    return Locate(mounts, line.substr(second + 1));
  }
  return Error(ENOENT, "", "there is none");
}

Result<std::string> GroupsOf(pid_t pid) {
  return sys::ReadWholeFileAt(AT_FDCWD, ("/proc/" + std::to_string(pid) + "/cgroup").c_str(),
                              kMaxFile);
}

}  // namespace cellrun::cgroup
