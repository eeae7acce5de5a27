// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/writable_tree.h"

#include <algorithm>
#include <array>

namespace cellrun::policy {
namespace {

constexpr std::array kPrivateDirectories = {"/tmp", "/var/tmp", "/run", "/dev/shm"};

std::string Expand(const std::string& path, const Places& places) {
  if (path == "~" || path.starts_with("~/")) return places.home + path.substr(1);
  if (path.starts_with('/')) return path;
  return NormalizePath(places.workspace + "/" + path);
}

}  // namespace

bool IsWithin(std::string_view path, std::string_view directory) {
  if (!path.starts_with(directory)) return false;
  return path.size() == directory.size() || path[directory.size()] == '/' || directory == "/";
}

std::string NormalizePath(std::string_view path) {
  std::string normal;
  std::size_t at = 0;
  while (at < path.size()) {
    const std::size_t end = std::min(path.find('/', at), path.size());
    const std::string_view part = path.substr(at, end - at);
    at = end + 1;
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      normal.resize(std::min(normal.rfind('/'), normal.size()));
    } else {
      normal.append("/").append(part);
    }
  }
  return normal.empty() ? "/" : normal;
}

WritableTree::WritableTree(const Profile& profile, const Places& places) {
  const Filesystem& files = profile.filesystem;
  parts_.emplace_back(places.home, true);
  for (const char* directory : kPrivateDirectories) parts_.emplace_back(directory, true);
  for (const auto& path : files.read) parts_.emplace_back(Expand(path.value, places), false);
  for (const auto& path : files.write) parts_.emplace_back(Expand(path.value, places), true);
  parts_.emplace_back(places.workspace, files.workspace.value != WorkspaceMode::kReadOnly);
  for (const auto& path : files.protect) parts_.emplace_back(Expand(path.value, places), false);
  for (const auto& path : files.noexec) noexec_.push_back(Expand(path.value, places));
}

bool WritableTree::Contains(std::string_view path) const {
  std::size_t longest = 0;
  bool writable = false;
  for (const auto& [directory, can_write] : parts_) {
    if (!IsWithin(path, directory) || directory.size() < longest) continue;
    longest = directory.size();
    writable = can_write;
  }
  return writable;
}

bool WritableTree::CanWriteAndRun(std::string_view path) const {
  return Contains(path) && std::none_of(noexec_.begin(), noexec_.end(), [&](const auto& directory) {
           return IsWithin(path, directory);
         });
}

}  // namespace cellrun::policy
