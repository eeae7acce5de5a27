// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/policy/request.h"

namespace cellrun::exec {

// A file of a cell, as an execve would find it.
struct File {
  UniqueFd fd;  // O_PATH
  struct stat facts {};
  std::string path;  // canonical in the cell; for anonymous files what /proc/PID/exe would show
  bool anonymous = false;  // memfd, deleted, or from outside the cell's tree
  bool on_writable_mount = true;
  bool on_noexec_mount = false;

  [[nodiscard]] policy::FileId id() const { return {facts.st_dev, facts.st_ino}; }
};

// Whose path it is and where it starts: the arguments of execveat(2).
struct Lookup {
  pid_t tid = -1;
  int directory = -100;  // AT_FDCWD
  std::string_view path;
  bool follow_last = true;
  bool empty_path = false;  // AT_EMPTY_PATH: an empty path means the directory descriptor itself
};

// Looks paths up in a cell's tree, never in the broker's. Thread-safe.
class Resolver {
 public:
  // `init_pid`: a process whose root is the cell's, for as long as this call takes.
  static Result<Resolver> ForCell(pid_t init_pid);
  explicit Resolver(UniqueFd root) noexcept : root_(std::move(root)) {}
  // Of the whole cell: how one of its tasks sees names, whose root directory and mount namespace
  // may be its own where a profile opts into `userns`. Files are still told by what they are in the
  // cell's tree; what is not there (or not under the same name) is anonymous. Not for longer than
  // this.
  [[nodiscard]] Result<Resolver> ViewOf(pid_t tid) const;

  // The errno is the one that the task's own lookup gives.
  [[nodiscard]] Result<File> Resolve(const Lookup& lookup) const;
  // What somebody else has opened.
  [[nodiscard]] Result<File> Describe(UniqueFd fd) const;
  // Whether nobody in the cell can make the name mean another file: everything on the way lies on
  // read-only mounts or is a mount point (the plan pins the parents of grants). For files that
  // somebody opens again by name (scripts, loader payloads).
  [[nodiscard]] bool IsStable(const Lookup& lookup, const File& file) const;

  // A view of a task with a root directory or mount namespace of its own: there any name can be
  // made to mean another file.
  [[nodiscard]] bool foreign() const noexcept { return cell_ != nullptr; }

  [[nodiscard]] const UniqueFd& root() const noexcept { return root_; }

 private:
  struct Opened {
    UniqueFd fd;
    bool in_tree = false;        // found from the root, without links of procfs to objects
    std::string canonical = {};  // where it is known already
  };
  [[nodiscard]] Result<Opened> Open(const Lookup& lookup) const;
  [[nodiscard]] Result<Opened> OpenFrom(const UniqueFd& start, const Lookup& lookup) const;
  [[nodiscard]] Result<File> Describe(Opened opened) const;
  [[nodiscard]] bool Belongs(const File& file) const;
  void Recognize(File& file) const;
  bool IsNamed(const std::string& name, File& file) const;

  UniqueFd root_;                   // O_PATH
  const Resolver* cell_ = nullptr;  // of a view whose root is not the cell's
  pid_t task_ = -1;                 // whose root it is, for as long as that is known
};

// 0, or the errno with which the kernel refuses to execute such a file whatever is in it.
int CannotExecute(const File& file);

// The file's contents, opened so that neither a FIFO nor a device nor a lease can hold us up. Only
// for regular files.
Result<UniqueFd> OpenContents(const File& file);

}  // namespace cellrun::exec
