// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/chain.h"

#include <algorithm>
#include <utility>

#include "broker/journal/encode.h"

namespace cellrun::journal {
namespace {

// json_valid first: json_extract ends the query at a text that is no JSON.
constexpr std::string_view kRows = R"(
SELECT seq, record, prev, hash, time,
  CASE WHEN json_valid(record) THEN json_extract(record, '$.seq') ELSE -1 END,
  CASE WHEN json_valid(record) THEN json_extract(record, '$.time') END,
  CASE WHEN json_valid(record) THEN cell IS json_extract(record, '$.cell')
    AND kind IS json_extract(record, '$.kind') AND verdict IS json_extract(record, '$.verdict')
    AND exe IS coalesce(json_extract(record, '$.exe'), '') ELSE 0 END,
  CASE WHEN kind = 'journal' AND json_valid(record) AND json_extract(record, '$.name') = 'pruned'
    THEN json_extract(record, '$.detail.through') ELSE 0 END
FROM records WHERE seq >= ? ORDER BY seq)";
enum Column { kSeq, kRecord, kPrev, kHash, kTime, kTextSeq, kTextTime, kSame, kThrough };

std::string HexOf(std::string_view bytes) {
  Digest digest{};
  if (bytes.size() != digest.size()) return "";
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return Hex(digest);
}

std::string Number(std::uint64_t number) {
  return std::to_string(number);
}

}  // namespace

Result<ChainWalk> ChainWalk::Start(Database database, std::optional<ChainHead> expected) {
  ChainWalk walk(std::move(database));
  walk.expected_ = std::move(expected);
  TRY(walk.Begin(1));
  return walk;
}

Result<ChainWalk> ChainWalk::StartAtEnd(Database database, std::uint64_t records) {
  ChainWalk walk(std::move(database));
  walk.whole_ = false;
  const auto head =
      static_cast<std::uint64_t>(TRY(walk.database_.QueryNumber("SELECT seq FROM head")));
  TRY(walk.Begin(head > records ? head - records + 1 : 1));
  return walk;
}

Result<void> ChainWalk::Begin(std::uint64_t from_seq) {
  TRY(database_.Execute("BEGIN"));  // one snapshot until the walk is destroyed
  Statement head = TRY(database_.Prepare("SELECT seq, hash FROM head"));
  if (!TRY(head.Step())) return Error(EBADMSG, "checking the journal", "it has no head");
  report_.head = {static_cast<std::uint64_t>(head.Number(0)), HexOf(head.Blob(1))};
  Statement anchor = TRY(database_.Prepare("SELECT seq, hash FROM anchor"));
  if (!TRY(anchor.Step())) return Error(EBADMSG, "checking the journal", "it has no anchor");
  report_.pruned_through = static_cast<std::uint64_t>(anchor.Number(0));
  next_seq_ = report_.pruned_through + 1;
  last_hash_ = std::string(anchor.Blob(1));
  if (from_seq > next_seq_) {
    next_seq_ = from_seq;
    last_hash_.clear();
  }
  rows_ = TRY(database_.Prepare(kRows));
  rows_.Bind(1, static_cast<std::int64_t>(whole_ ? 0 : next_seq_));
  return {};
}

bool ChainWalk::Bad(std::uint64_t seq, std::string problem) {
  report_.intact = false;
  report_.bad = seq;
  report_.problem = std::move(problem);
  return false;
}

Result<bool> ChainWalk::Step(std::size_t rows) {
  for (std::size_t i = 0; i < rows && !done_; ++i) {
    Result<bool> row = rows_.Step();
    if (!row.ok()) {
      if (row.error().code() != EBADMSG) return std::move(row).error();
      done_ = true;
      Bad(next_seq_, "the database file is damaged here: " + row.error().context());
    } else if (!row.value()) {
      done_ = true;
      TRY(Finish());
    } else if (!CheckRow()) {
      done_ = true;
    }
  }
  return done_;
}

bool ChainWalk::CheckRow() {
  const auto seq = static_cast<std::uint64_t>(rows_.Number(kSeq));
  if (seq < next_seq_) {
    return Bad(seq, "it lies before the records that retention left (anchor " +
                        Number(report_.pruned_through) + ")");
  }
  if (seq > next_seq_) {
    const std::string gap = seq == next_seq_ + 1
                                ? "it is missing"
                                : "it and all up to " + Number(seq - 1) + " are missing";
    return Bad(next_seq_, gap);
  }
  if (!CheckText(seq)) return false;
  last_hash_ = std::string(rows_.Blob(kHash));
  if (expected_ && expected_->seq == seq) {
    expected_seen_ = true;
    if (HexOf(last_hash_) != expected_->hash) {
      return Bad(seq, "its hash is not the one that was kept elsewhere: the chain was rewritten");
    }
  }
  NotePruning(seq);
  if (report_.records++ == 0) report_.first = seq;
  report_.last = seq;
  ++next_seq_;
  return true;
}

bool ChainWalk::CheckText(std::uint64_t seq) {
  const std::string_view record = rows_.Text(kRecord);
  const std::string_view prev = rows_.Blob(kPrev);
  const auto text_seq = static_cast<std::uint64_t>(rows_.Number(kTextSeq));
  if (Bytes(sha256_->Of({prev, record})) != rows_.Blob(kHash)) {
    return Bad(seq, "its contents do not match its hash: it was changed");
  }
  if (text_seq != seq) {
    return Bad(seq, "in its place stands record " + Number(text_seq) + ": reordered");
  }
  if (!last_hash_.empty() && prev != last_hash_) {
    return Bad(seq,
               "it does not follow record " + Number(seq - 1) + " (prev differs from its hash)");
  }
  const auto time = ParseTime(rows_.Text(kTextTime));
  if (rows_.Number(kSame) != 1 || !time || Microseconds(*time) != rows_.Number(kTime)) {
    return Bad(seq, "the columns that queries use differ from it");
  }
  return true;
}

void ChainWalk::NotePruning(std::uint64_t seq) {
  const auto through = static_cast<std::uint64_t>(rows_.Number(kThrough));
  if (through < seq) pruning_announced_ = std::max(pruning_announced_, through);
}

Result<void> ChainWalk::Finish() {
  TRY(CheckEnd());
  if (!report_.intact || !whole_) return {};
  TRY(CheckDocuments());
  if (!report_.intact) return {};
  return CheckFile();
}

Result<void> ChainWalk::CheckEnd() {
  const std::uint64_t last = next_seq_ - 1;
  if (last < report_.head.seq) {
    Bad(last + 1, "it and all up to " + Number(report_.head.seq) + " are missing at the end");
  } else if (last > report_.head.seq ||
             (!last_hash_.empty() && HexOf(last_hash_) != report_.head.hash)) {
    Bad(last, "it is not the head that the journal names (" + Number(report_.head.seq) + ")");
  } else if (whole_ && report_.pruned_through > pruning_announced_) {
    Bad(report_.pruned_through,
        "it and what is older is missing, and no record says that retention removed it");
  } else if (expected_ && !expected_seen_ && expected_->seq > report_.pruned_through) {
    Bad(expected_->seq, "it was kept elsewhere as a head and is missing: the end was cut");
  }
  return {};
}

Result<void> ChainWalk::CheckDocuments() {
  Statement documents = TRY(database_.Prepare("SELECT digest, text FROM documents"));
  while (TRY(documents.Step())) {
    if (Hex(sha256_->Of({documents.Blob(1)})) != documents.Text(0)) {
      Bad(0, "the profile text kept as " + std::string(documents.Text(0)) + " was changed");
      return {};
    }
  }
  return {};
}

Result<void> ChainWalk::CheckFile() {
  Statement check = TRY(database_.Prepare("PRAGMA integrity_check(1)"));
  if (TRY(check.Step()) && check.Text(0) != "ok") {
    Bad(0, "the database file is damaged: " + std::string(check.Text(0)));
  }
  return {};
}

}  // namespace cellrun::journal
