// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// A directory of the cgroup v2 hierarchy, held open, or one of version 1. No controller is asked
// for: it groups processes, and what limits those around it limits them.
class Cgroup {
 public:
  // "cellrun-NAME" below `parent`. A link in the directory `notes` says where it is, for
  // RemoveLeft.
  static Result<Cgroup> MakeBelow(const std::string& parent, const std::string& name,
                                  const std::string& notes);
  // The same in a hierarchy of version 1, where only path(), fd() and Remove() mean anything.
  static Result<Cgroup> MakeOldBelow(const std::string& parent, const std::string& name,
                                     const std::string& notes);
  // One that somebody else made and removes, such as a container engine.
  static Result<Cgroup> Open(const std::string& path);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const UniqueFd& fd() const { return directory_; }
  [[nodiscard]] std::uint64_t id() const { return id_; }  // as the kernel's programs know it
  void Close() { directory_.Reset(); }                    // fd() is not needed any more
  // Whether that process is in it, now; nothing when there is no such process, or
  // when this one has no descriptor to look with.
  [[nodiscard]] std::optional<bool> Has(pid_t pid) const;
  // The same of a number in that procfs.
  [[nodiscard]] std::optional<bool> Has(int procfs, const std::string& number) const;
  // How many processes are in it, those that have ended and are not reaped not counted.
  [[nodiscard]] Result<std::size_t> Count() const;
  // Ends what is still in it, waits until it is empty, and removes it. May take a while; does
  // nothing for one that was opened. EBUSY: it is still not empty.
  Result<void> Remove();

  Cgroup(Cgroup&&) noexcept = default;
  Cgroup& operator=(Cgroup&&) noexcept = default;

 private:
  Cgroup() = default;
  static Result<Cgroup> Make(const std::string& parent, const std::string& name,
                             const std::string& notes,
                             Result<Cgroup> (*open)(const std::string& path));
  std::string path_, group_;  // the directory; what /proc/PID/cgroup calls it
  std::string note_;          // "" for one that is not ours
  UniqueFd directory_;
  std::uint64_t id_ = 0;
};

// The directory of the cgroup that a process is in. ENOENT where no cgroup v2 is mounted that shows
// it.
Result<std::string> CgroupOf(pid_t pid);

// Notes of cgroups, as paths: before the first is made, those that a killed broker has left.
std::vector<std::string> NotesIn(const std::string& notes);
// Removes what they lead to, and them. May take a while.
void RemoveLeft(const std::vector<std::string>& notes);

}  // namespace cellrun::net
