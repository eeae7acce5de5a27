// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/store.h"

#include <algorithm>
#include <utility>

#include "broker/journal/schema.h"
#include "lib/base/text.h"

namespace cellrun::journal {
namespace {

constexpr std::uint64_t kRecordsCheckedAtStart = 1000;
constexpr std::uint64_t kPruneStep = 4096;   // records in one transaction
constexpr std::uint64_t kNeverPruned = 16;   // the newest
constexpr std::uint64_t kLeastPruned = 512;  // more than a group adds, so that pruning keeps up

std::string Column(const std::string& text) {
  return text::IsUtf8(text) ? text : text::Escape(text);
}

Digest DigestOf(std::string_view bytes) {
  Digest digest{};
  if (bytes.size() == digest.size()) std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

policy::Action ActionOf(std::string_view name) {
  for (const policy::Action action : {policy::Action::kAllow, policy::Action::kAsk}) {
    if (name == policy::ActionName(action)) return action;
  }
  return policy::Action::kDeny;
}

Kind KindOf(std::string_view name) {
  for (int i = 0; i <= static_cast<int>(Kind::kJournal); ++i) {
    if (name == KindName(static_cast<Kind>(i))) return static_cast<Kind>(i);
  }
  return Kind::kJournal;
}

std::int64_t Signed(std::uint64_t number) {
  return static_cast<std::int64_t>(number);
}

}  // namespace

Result<Store> Store::Open(const std::string& path, std::uint64_t max_bytes) {
  Store store(path, max_bytes);
  TRY(store.Connect());
  TRY(store.ReadHead());
  store.connected_ = true;
  ChainWalk walk =
      TRY(ChainWalk::StartAtEnd(TRY(OpenForReading(path)), kRecordsCheckedAtStart).With(path));
  (void)TRY(walk.Step(kRecordsCheckedAtStart + 1).With(path));
  const ChainReport& report = walk.report();
  if (!report.intact) {
    return DamagedError(path, "record " + std::to_string(report.bad) + ": " + report.problem);
  }
  return store;
}

Result<void> Store::Connect() {
  database_ = TRY(OpenForWriting(path_));
  return Prepare().With(path_);
}

Result<void> Store::Prepare() {
  insert_ = TRY(database_.Prepare("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  set_head_ = TRY(database_.Prepare("UPDATE head SET seq = ?, hash = ?"));
  set_goal_ = TRY(database_.Prepare("UPDATE anchor SET goal = ?"));
  find_ = TRY(database_.Prepare("SELECT cell, kind, verdict, exe FROM records WHERE seq = ?"));
  keep_document_ =
      TRY(database_.Prepare("INSERT INTO documents VALUES (?, ?, ?) ON CONFLICT (digest) DO UPDATE "
                            "SET seen = excluded.seen"));
  return {};
}

Result<void> Store::ReadHead() {
  Statement head = TRY(database_.Prepare("SELECT seq, hash FROM head"));
  Statement anchor = TRY(database_.Prepare("SELECT seq, goal FROM anchor"));
  Statement secret = TRY(database_.Prepare("SELECT value FROM secrets WHERE name = 'argv'"));
  if (!TRY(head.Step().With(path_)) || !TRY(anchor.Step()) || !TRY(secret.Step())) {
    return DamagedError(path_, "its head is missing");
  }
  head_seq_ = static_cast<std::uint64_t>(head.Number(0));
  head_hash_ = DigestOf(head.Blob(1));
  anchor_ = static_cast<std::uint64_t>(anchor.Number(0));
  prune_goal_ = static_cast<std::uint64_t>(anchor.Number(1));
  secret_ = std::string(secret.Blob(0));
  return {};
}

Result<void> Store::Commit(std::span<const Entry> entries,
                           std::span<const KeptDocument> documents) {
  if (!connected_) TRY(Reconnect());
  while (!entries.empty() && entries.front().seq <= head_seq_) entries = entries.subspan(1);
  Result<void> committed = CommitOnce(entries, documents);
  if (!committed.ok()) connected_ = false;
  return committed;
}

// The commit that failed may have reached the disk after all, so the head may have moved on; but
// what was the head before must still be there.
Result<void> Store::Reconnect() {
  const std::uint64_t seq = head_seq_;
  const Digest hash = head_hash_;
  TRY(Connect());
  Statement find = TRY(database_.Prepare("SELECT hash FROM records WHERE seq = ?"));
  const bool found = TRY(find.Bind(1, Signed(seq)).Step());
  if (seq > anchor_ && (!found || find.Blob(0) != Bytes(hash))) {
    return Error(ESTALE, "writing the journal", path_ + " was replaced by another file");
  }
  TRY(ReadHead());
  connected_ = true;
  return {};
}

Result<void> Store::CommitOnce(std::span<const Entry> entries,
                               std::span<const KeptDocument> documents) {
  if (database_.Moved()) {
    return Error(ESTALE, "writing the journal", path_ + " was removed or replaced");
  }
  TRY(database_.Execute("BEGIN IMMEDIATE"));
  Digest last = head_hash_;
  const auto write = [&]() -> Result<void> {
    TRY(KeepDocuments(documents, head_seq_ + entries.size()));
    for (const Entry& entry : entries) TRY(Insert(entry, entries, last));
    if (!entries.empty()) {
      TRY(set_head_.Bind(1, Signed(entries.back().seq)).BindBlob(2, Bytes(last)).Run());
    }
    return database_.Execute("COMMIT");
  };
  Result<void> written = write();
  if (!written.ok()) {
    (void)database_.Execute("ROLLBACK");  // the connection is replaced anyway
    return written;
  }
  for (const Entry& entry : entries) prune_goal_ = std::max(prune_goal_, entry.prune_goal);
  if (!entries.empty()) {
    head_seq_ = entries.back().seq;
    head_hash_ = last;
  }
  return {};
}

Result<void> Store::Insert(const Entry& entry, std::span<const Entry> group, Digest& last) {
  if (entry.of != 0 && entry.record.cell.empty()) {
    Entry filled = entry;
    TRY(FillFollowUp(filled, group));
    if (!filled.record.cell.empty()) return Insert(filled, group, last);
  }
  const Record& record = entry.record;
  const std::string text = Encode(entry, secret_);
  const std::string cell = Column(record.cell);
  const std::string exe = Column(record.exe);
  const Digest hash = sha256_->Of({Bytes(last), text});
  insert_.Bind(1, Signed(entry.seq)).Bind(2, Microseconds(record.time)).Bind(3, cell);
  insert_.Bind(4, std::string_view(KindName(record.kind)));
  insert_.Bind(5, std::string_view(policy::ActionName(record.verdict))).Bind(6, exe);
  insert_.Bind(7, text).BindBlob(8, Bytes(last)).BindBlob(9, Bytes(hash));
  TRY(insert_.Run());
  last = hash;
  if (entry.prune_goal != 0) TRY(set_goal_.Bind(1, Signed(entry.prune_goal)).Run());
  return {};
}

// A follow-up is found by the same filters as what it is about.
Result<void> Store::FillFollowUp(Entry& follow_up, std::span<const Entry> group) {
  Record& record = follow_up.record;
  if (!group.empty() && follow_up.of >= group.front().seq && follow_up.of < follow_up.seq) {
    const Record& about = group[follow_up.of - group.front().seq].record;
    record.cell = about.cell;
    record.kind = about.kind;
    record.verdict = about.verdict;
    record.exe = about.exe;
    return {};
  }
  if (TRY(find_.Bind(1, Signed(follow_up.of)).Step())) {
    record.cell = std::string(find_.Text(0));
    record.kind = KindOf(find_.Text(1));
    record.verdict = ActionOf(find_.Text(2));
    record.exe = std::string(find_.Text(3));
  }
  find_.Reset();
  return {};
}

Result<void> Store::KeepDocuments(std::span<const KeptDocument> documents, std::uint64_t seq) {
  for (const KeptDocument& document : documents) {
    keep_document_.Bind(1, document.digest).BindBlob(2, document.text).Bind(3, Signed(seq));
    TRY(keep_document_.Run());
  }
  return {};
}

Result<std::uint64_t> Store::PruneGoal() {
  if (!connected_ || prune_goal_ > anchor_) return 0;
  const std::int64_t pages = TRY(database_.QueryNumber("PRAGMA page_count")) -
                             TRY(database_.QueryNumber("PRAGMA freelist_count"));
  const auto bytes = static_cast<std::uint64_t>(pages) * 4096;
  const std::uint64_t records = head_seq_ - anchor_;
  if (bytes <= max_bytes_ || records <= kNeverPruned) return 0;
  return anchor_ + std::min(records - kNeverPruned, std::max(kLeastPruned, records / 10));
}

Result<bool> Store::PruneSome() {
  if (!connected_ || prune_goal_ <= anchor_) return false;
  const std::uint64_t through = std::min(prune_goal_, anchor_ + kPruneStep);
  const auto prune = [&]() -> Result<void> {
    TRY(database_.Execute("BEGIN IMMEDIATE"));
    Statement move = TRY(database_.Prepare(
        "UPDATE anchor SET seq = ?1, hash = (SELECT hash FROM records WHERE seq = ?1)"));
    TRY(move.Bind(1, Signed(through)).Run());
    Statement remove = TRY(database_.Prepare("DELETE FROM records WHERE seq <= ?"));
    TRY(remove.Bind(1, Signed(through)).Run());
    if (through == prune_goal_) {
      // A document is kept a little before the record that names it.
      Statement documents = TRY(database_.Prepare("DELETE FROM documents WHERE seen <= ?"));
      TRY(documents.Bind(1, Signed(through) - Signed(kPruneStep)).Run());
    }
    return database_.Execute("COMMIT");
  };
  Result<void> pruned = prune();
  if (!pruned.ok()) {
    (void)database_.Execute("ROLLBACK");  // a failed BEGIN left nothing to roll back
    return std::move(pruned).error();
  }
  anchor_ = through;
  return prune_goal_ > anchor_;
}

}  // namespace cellrun::journal
