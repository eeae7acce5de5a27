// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "broker/journal/chain.h"
#include "broker/journal/digest.h"
#include "broker/journal/encode.h"
#include "broker/journal/sqlite.h"
#include "lib/base/result.h"

namespace cellrun::journal {

// A profile's text on its way to the disk.
struct KeptDocument {
  std::string digest;
  std::string text;
};

// The database of the journal's one writer: appends to the chain and prunes its old end. Used by
// one thread.
class Store {
 public:
  // Checks the newest records and the head; EBADMSG if they are damaged.
  static Result<Store> Open(const std::string& path, std::uint64_t max_bytes);

  // All or nothing. The entries' sequence numbers follow the head's. On an error the connection is
  // made anew at the next call; a file that was replaced or removed stays an error.
  Result<void> Commit(std::span<const Entry> entries, std::span<const KeptDocument> documents);

  // If the file is over its limit: how far to prune; 0 otherwise, or while pruning. A record that
  // announces it (Entry::prune_goal) must be committed first.
  Result<std::uint64_t> PruneGoal();
  // Removes the next few thousand records up to the goal; whether some are left to remove.
  Result<bool> PruneSome();
  [[nodiscard]] std::uint64_t pruned_through() const { return anchor_; }

  [[nodiscard]] std::uint64_t head_seq() const { return head_seq_; }
  [[nodiscard]] const Digest& head_hash() const { return head_hash_; }
  [[nodiscard]] const std::string& secret() const { return secret_; }  // for ArgvDigest

 private:
  Store(std::string path, std::uint64_t max_bytes)
      : path_(std::move(path)), max_bytes_(max_bytes) {}
  Result<void> Connect();
  Result<void> Reconnect();
  Result<void> Prepare();
  Result<void> ReadHead();
  Result<void> CommitOnce(std::span<const Entry> entries, std::span<const KeptDocument> documents);
  Result<void> Insert(const Entry& entry, std::span<const Entry> group, Digest& last);
  Result<void> FillFollowUp(Entry& follow_up, std::span<const Entry> group);
  Result<void> KeepDocuments(std::span<const KeptDocument> documents, std::uint64_t seq);

  std::string path_;
  std::uint64_t max_bytes_;
  Database database_;
  Statement insert_, set_head_, set_goal_, find_, keep_document_;
  std::unique_ptr<Sha256> sha256_ = std::make_unique<Sha256>();
  std::string secret_;
  std::uint64_t head_seq_ = 0;
  Digest head_hash_{};
  std::uint64_t anchor_ = 0, prune_goal_ = 0;
  bool connected_ = false;
};

}  // namespace cellrun::journal
