// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "broker/exec/known_hashes.h"
#include "broker/exec/waiter.h"
#include "broker/rooms/shelf.h"
#include "lib/base/result.h"

namespace cellrun::rooms {

// Finds out what takes long about what was asked: hashes of images, and a copy of a script that the
// cell can write. One call at a time, on any thread.
class Examiner {
 public:
  Examiner(std::shared_ptr<Shelf> shelf, std::shared_ptr<exec::KnownHashes> hashes) noexcept
      : shelf_(std::move(shelf)), hashes_(std::move(hashes)) {}

  // Fills in hashes, the copy and the risks. The lease is null where there is no copy. An error's
  // context says why it cannot be asked.
  Result<std::shared_ptr<Shelf::Lease>> Examine(exec::AskedExec& asked);
  void Stop() { stop_ = true; }  // what is being hashed is not of interest any more

 private:
  Result<std::string> Hash(const exec::File& file, bool writable);
  Result<std::shared_ptr<Shelf::Lease>> CopyScript(exec::AskedExec& asked);

  const std::shared_ptr<Shelf> shelf_;
  const std::shared_ptr<exec::KnownHashes> hashes_;  // may be null
  std::atomic<bool> stop_{false};
};

}  // namespace cellrun::rooms
