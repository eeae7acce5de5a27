// SPDX-License-Identifier: Apache-2.0
#include "lib/wire/floor.h"

#include <dirent.h>
#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <string>

#include "lib/policy/load.h"
#include "lib/sys/file.h"

namespace cellrun::wire {
namespace {

constexpr char kFloorDirectory[] = "/etc/cellrun/floor.d";

}  // namespace

Result<std::vector<policy::Source>> ReadFloor() {
  std::vector<policy::Source> floor;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(&kFloorDirectory[0]), closedir);
  if (stream == nullptr) {
    if (errno == ENOENT) return floor;
    return ErrnoError("opendir").With(&kFloorDirectory[0]);
  }
  std::vector<std::string> names;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name(&entry->d_name[0]);
    if (name.ends_with(".yaml") && !name.starts_with('.')) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string path = std::string(&kFloorDirectory[0]) + "/" + name;
    const UniqueFd fd = TRY(sys::OpenAt(AT_FDCWD, path.c_str(), O_RDONLY | O_NOFOLLOW).With(path));
    const struct stat facts = TRY(sys::Fstat(fd).With(path));
    if (facts.st_uid != 0 || (facts.st_mode & (S_IWGRP | S_IWOTH)) != 0 ||
        !S_ISREG(facts.st_mode)) {
      return Error(EPERM, "", path + " must be a file of root that nobody else can write");
    }
    floor.push_back({.name = "",
                     .origin = path,
                     .text = TRY(sys::ReadWholeFile(fd, policy::kMaxProfileBytes + 1).With(path)),
                     .layer = policy::Layer::kFloor});
  }
  return floor;
}

}  // namespace cellrun::wire
