// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/mount_table.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <sstream>

#include "broker/exec/task.h"
#include "lib/sys/file.h"

namespace cellrun::exec {
namespace {

constexpr std::size_t kMaxTableBytes = 1 << 20;

// One line of proc_pid_mountinfo(5), as far as it matters.
struct Mount {
  std::uint64_t id = 0;
  std::string device;  // "MAJOR:MINOR"
  std::string root;    // of the mount, in its file system
  std::string place;   // from the root of whoever's table it is
};

// Blanks and backslashes are written as three octal digits.
std::string Unescape(const std::string& text) {
  constexpr std::size_t kDigits = 3;
  constexpr int kOctal = 8;
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const char* first = text.data() + i + 1;
    const bool escaped =
        text[i] == '\\' && i + kDigits < text.size() &&
        std::from_chars(first, first + kDigits, byte, kOctal).ptr == first + kDigits;
    plain += escaped ? static_cast<char>(byte) : text[i];
    if (escaped) i += kDigits;
  }
  return plain;
}

std::vector<Mount> ReadMounts(pid_t task) {
  std::vector<Mount> mounts;
  const Result<std::string> table =
      sys::ReadWholeFileAt(AT_FDCWD, ProcPath(task, "mountinfo").c_str(), kMaxTableBytes);
  if (!table.ok()) return mounts;
  std::istringstream lines(*table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    Mount mount;
    std::string parent;
    if (!(fields >> mount.id >> parent >> mount.device >> mount.root >> mount.place)) continue;
    mount.root = Unescape(mount.root);
    mount.place = Unescape(mount.place);
    mounts.push_back(std::move(mount));
  }
  return mounts;
}

// What follows `directory` in `path`, from a slash on, or nothing if it is not in there.
std::optional<std::string> Below(const std::string& path, const std::string& directory) {
  if (directory == "/") return path;
  if (path == directory) return "";
  if (!path.starts_with(directory + "/")) return std::nullopt;
  return path.substr(directory.size());
}
std::string Join(const std::string& directory, const std::string& rest) {
  return directory == "/" && !rest.empty() ? rest : directory + rest;
}

}  // namespace

std::vector<std::string> NamesElsewhere(const MountedName& name, pid_t other) {
  const std::vector<Mount> own = ReadMounts(name.task);
  const auto mount = std::find_if(own.begin(), own.end(),
                                  [&](const Mount& found) { return found.id == name.mount; });
  if (mount == own.end()) return {};
  const std::optional<std::string> rest = Below(name.path, mount->place);
  if (!rest.has_value()) return {};
  const std::string in_file_system = Join(mount->root, *rest);
  std::vector<std::pair<std::size_t, std::string>> names;
  for (const Mount& there : ReadMounts(other)) {
    if (there.device != mount->device) continue;
    const std::optional<std::string> below = Below(in_file_system, there.root);
    if (below.has_value()) names.emplace_back(there.root.size(), Join(there.place, *below));
  }
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<std::string> paths;
  paths.reserve(names.size());
  for (auto& [length, path] : names) paths.push_back(std::move(path));
  return paths;
}

}  // namespace cellrun::exec
