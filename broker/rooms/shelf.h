// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace cellrun::rooms {

// Copies of scripts for a cell that can read them and not write them. A copy is called by what is
// in it, so equal ones are one. Thread-safe.
class Shelf : public std::enable_shared_from_this<Shelf> {
 public:
  // `directory`: as which the cell sees wire::kScriptDirectory, writable here. Invalid: nothing can
  // be put down. `uid`, `gid`: the cell's, as whom files are made (others mean nothing there).
  Shelf(UniqueFd directory, uid_t uid, gid_t gid) noexcept
      : directory_(std::move(directory)), uid_(uid), gid_(gid) {}

  // A copy, there as long as the lease is.
  class Lease {
   public:
    Lease(std::shared_ptr<Shelf> shelf, std::string name)
        : shelf_(std::move(shelf)), name_(std::move(name)) {}
    ~Lease() { shelf_->Drop(name_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    [[nodiscard]] std::string path() const;  // in the cell
    [[nodiscard]] Result<std::string> Read() const;

   private:
    std::shared_ptr<Shelf> shelf_;
    std::string name_;
  };
  // `hash`: of the contents, 64 hex digits. ENOSPC: scripts of the cell take up too much.
  static constexpr std::size_t kMaxBytes = std::size_t{8} << 20;  // of one
  Result<std::shared_ptr<Lease>> Put(const std::string& contents, const std::string& hash);

 private:
  void Drop(const std::string& name);

  const UniqueFd directory_;
  const uid_t uid_;
  const gid_t gid_;
  std::mutex mutex_;
  std::map<std::string, int> leases_;  // guarded by mutex_
};

}  // namespace cellrun::rooms
