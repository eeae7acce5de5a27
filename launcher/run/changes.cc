// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/changes.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <memory>

#include "lib/base/unique_fd.h"
#include "lib/sys/file.h"

namespace cellrun::launcher {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

std::int64_t Nanoseconds(const timespec& time) {
  return time.tv_sec * kSecondNs + time.tv_nsec;
}

// A directory still to be read, by descriptor-free path: the tree may be as deep as PATH_MAX
// allows.
struct Walk {
  std::string root;
  std::vector<std::string> pending = {""};
  Snapshot seen;

  // False when there are too many entries.
  bool ReadDirectory(const std::string& relative) {
    const std::string path = relative.empty() ? root : root + "/" + relative;
    Result<UniqueFd> directory =
        sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (!directory.ok())
      return true;  // gone meanwhile, or not readable: its own entry is in the list
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(directory->get()), closedir);
    if (stream == nullptr) return true;
    const int fd = directory->Release();  // the stream's now
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    while (const dirent* entry = readdir(stream.get())) {
      const std::string_view name(&entry->d_name[0]);
      if (name == "." || name == "..") continue;
      const Result<struct stat> facts = sys::FstatAt(fd, &entry->d_name[0], AT_SYMLINK_NOFOLLOW);
      if (!facts.ok()) continue;
      const std::string below =
          relative.empty() ? std::string(name) : relative + "/" + std::string(name);
      seen[below] = {.mode = facts->st_mode,
                     .inode = facts->st_ino,
                     .size = static_cast<std::uint64_t>(facts->st_size),
                     .modified_ns = Nanoseconds(facts->st_mtim),
                     .changed_ns = Nanoseconds(facts->st_ctim)};
      if (seen.size() > kMaxSnapshotEntries) return false;
      if (S_ISDIR(facts->st_mode)) pending.push_back(below);
    }
    return true;
  }
};

bool IsChanged(const Sight& before, const Sight& after) {
  if (before.mode != after.mode || before.inode != after.inode) return true;
  if (S_ISDIR(before.mode)) return false;  // what changed in it is listed by itself
  return before.size != after.size || before.modified_ns != after.modified_ns ||
         before.changed_ns != after.changed_ns;
}

bool Contains(std::string_view path, std::string_view part) {
  return path.find(part) != std::string_view::npos;
}

// By the last component.
constexpr std::array<std::string_view, 24> kSelfExecutingNames = {".envrc",
                                                                  ".gitmodules",
                                                                  ".gitattributes",
                                                                  ".bashrc",
                                                                  ".bash_profile",
                                                                  ".profile",
                                                                  ".zshrc",
                                                                  ".zshenv",
                                                                  "package.json",
                                                                  ".npmrc",
                                                                  ".yarnrc.yml",
                                                                  ".pnpmfile.cjs",
                                                                  "conftest.py",
                                                                  "sitecustomize.py",
                                                                  "usercustomize.py",
                                                                  "pyproject.toml",
                                                                  "setup.py",
                                                                  "build.rs",
                                                                  "Makefile",
                                                                  "makefile",
                                                                  "GNUmakefile",
                                                                  "Justfile",
                                                                  ".pre-commit-config.yaml",
                                                                  ".mcp.json"};
// Anywhere in the path, with a slash put in front of it.
constexpr std::array<std::string_view, 13> kSelfExecutingPlaces = {
    "/.git/hooks/",    "/.git/config",        "/.husky/",       "/.vscode/", "/.idea/",
    "/.devcontainer/", "/.github/workflows/", "/.cargo/config", "/.claude/", "/.cursor/",
    "/.direnv/",       "/.githooks/",         "/.circleci/"};

}  // namespace

std::optional<Snapshot> TakeSnapshot(const std::string& root) {
  Walk walk;
  walk.root = root;
  while (!walk.pending.empty()) {
    const std::string directory = std::move(walk.pending.back());
    walk.pending.pop_back();
    if (!walk.ReadDirectory(directory)) return std::nullopt;
  }
  return std::move(walk.seen);
}

std::vector<Change> CompareSnapshots(const Snapshot& before, const Snapshot& after) {
  std::vector<Change> changes;
  const auto add = [&](const std::string& path, const char* kind, const Sight& sight) {
    changes.push_back({path, kind, S_ISREG(sight.mode) ? sight.size : 0, IsSelfExecuting(path)});
  };
  for (const auto& [path, sight] : before) {
    const auto now = after.find(path);
    if (now == after.end()) {
      add(path, "deleted", sight);
    } else if (IsChanged(sight, now->second)) {
      add(path, "changed", now->second);
    }
  }
  for (const auto& [path, sight] : after) {
    if (!before.contains(path)) add(path, "created", sight);
  }
  std::sort(changes.begin(), changes.end(),
            [](const Change& a, const Change& b) { return a.path < b.path; });
  return changes;
}

bool IsSelfExecuting(std::string_view path) {
  // Set aside by the broker under a name that nothing runs.
  if (path.ends_with(".cellrun-quarantined")) return false;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  if (std::find(kSelfExecutingNames.begin(), kSelfExecutingNames.end(), name) !=
      kSelfExecutingNames.end())
    return true;
  const std::string rooted = "/" + std::string(path);
  return std::any_of(kSelfExecutingPlaces.begin(), kSelfExecutingPlaces.end(),
                     [&](std::string_view place) { return Contains(rooted, place); });
}

}  // namespace cellrun::launcher
