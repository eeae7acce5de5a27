// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "broker/journal/record.h"
#include "lib/base/result.h"
#include "lib/policy/source.h"

namespace cellrun::journal {

struct JournalOptions {
  std::size_t max_queued = 65536;              // records; one more is refused
  std::size_t max_queued_bytes = 64 << 20;     // of their text
  std::size_t group = 256;                     // records in one commit
  std::chrono::milliseconds group_window{50};  // how long a group collects
  std::chrono::milliseconds sync_timeout{5000};
  std::uint64_t max_bytes = std::uint64_t{2} << 30;  // then the oldest records are pruned
};

struct Head {
  std::uint64_t seq = 0;  // 0: nothing was ever recorded
  std::string hash;       // 64 hex digits
};

// The journal of one state directory: journal.db, journal.db-wal, journal.lock. Append and
// SetResult only queue; one thread encodes, hashes and commits. A group that cannot be committed
// stays queued and is tried again; until it is written, and while the file system has less than
// 256 KiB free, Append refuses. Thread-safe.
class Journal : public Sink {
 public:
  // Makes the directory (0700) if it is missing. Fails with EPERM if directory or file belong to
  // somebody else or are open to others, EBUSY if another broker writes it, EBADMSG if the end of
  // the chain is damaged or the file is no journal; the message names the file and what to do.
  static Result<std::unique_ptr<Journal>> Open(const std::string& state_directory,
                                               const JournalOptions& options = {});

  // Keeps a profile's text, once for each content, so that `why` can judge again later. Its sha256,
  // 64 hex digits. Queued: on disk no later than any record appended afterwards.
  virtual Result<std::string> KeepDocument(const policy::Source& source) = 0;

  // Waits until all that was appended before is on disk; the error of the last attempt otherwise.
  virtual Result<void> Flush(std::chrono::milliseconds timeout) = 0;
  // Flushes and ends the writer; afterwards Append refuses. The destructor does it too, but cannot
  // say what failed.
  virtual Result<void> Close() = 0;

  // The last record on disk.
  [[nodiscard]] virtual Head head() const = 0;
  [[nodiscard]] virtual const std::string& path() const = 0;  // of journal.db

  // Calls `committed` with the sequence number of the last record after each commit, on the
  // writer's thread, until the Subscription is destroyed (which waits for a call in progress; do
  // not destroy it inside one). It must not block.
  class Subscription {
   public:
    virtual ~Subscription() = default;
  };
  [[nodiscard]] virtual std::unique_ptr<Subscription> Subscribe(
      std::function<void(std::uint64_t)> committed) = 0;
};

}  // namespace cellrun::journal
