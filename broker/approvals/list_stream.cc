// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/list_stream.h"

#include <algorithm>
#include <utility>

#include "broker/approvals/ask_json.h"

namespace cellrun::approvals {
namespace {

using Done = std::function<void(std::optional<std::string>)>;

constexpr std::size_t kPieceBytes = std::size_t{256} * 1024;
// What may wait for a follower that does not read; then it is told to come again.
constexpr std::size_t kMaxWaitingBytes = std::size_t{8} << 20;

class ListStream final : public http::ChunkSource, public std::enable_shared_from_this<ListStream> {
 public:
  ListStream(loop::Loop& loop, Approvals& approvals, ListQuery query)
      : loop_(loop), approvals_(approvals), query_(std::move(query)) {
    if (query_.limit && query_.OnlyPending()) SkipAllBut(*query_.limit);
    // From the beginning, so that nothing is missed between the list and what follows.
    if (query_.follow) {
      subscription_ = approvals_.Subscribe([this](const Entry& entry) { OnChange(entry); });
    }
  }

  void Next(Done done) override {
    if (!listed_) {
      if (!query_.OnlyPending()) return NextStored(std::move(done));
      std::string piece = ListPiece();
      if (!piece.empty()) return done(std::move(piece));
      listed_ = true;
    }
    if (!query_.follow) return done(std::nullopt);
    if (!waiting_.empty()) return done(std::exchange(waiting_, {}));
    if (overflowed_) return done(std::nullopt);
    done_ = std::move(done);
  }

 private:
  // From the store, which has those that are over as well.
  void NextStored(Done done) {
    const Store::Query query{.states = query_.states, .cell = query_.cell, .after = after_};
    if (query_.limit && !skipped_) {
      skipped_ = true;
      return approvals_.store().FindNewest(
          query, *query_.limit, OnLoop<std::uint64_t>(std::move(done), &ListStream::OnNewest));
    }
    approvals_.store().Find(query,
                            OnLoop<std::vector<Store::Row>>(std::move(done), &ListStream::OnRows));
  }

  template <typename T>
  std::function<void(Result<T>)> OnLoop(Done done, void (ListStream::*next)(Result<T>, Done)) {
    return [&loop = loop_, weak = weak_from_this(), done = std::move(done), next](Result<T> found) {
      loop.Post([weak, done, next, found = std::move(found)]() mutable {
        if (const auto self = weak.lock()) ((*self).*next)(std::move(found), std::move(done));
      });
    };
  }

  void OnNewest(Result<std::uint64_t> after, Done done) {
    after_ = after.ok() ? *after : 0;
    Next(std::move(done));
  }

  void OnRows(Result<std::vector<Store::Row>> rows, Done done) {
    if (!rows.ok()) {
      listed_ = true;
      return done(http::ErrorResponse(500, rows.error().ToString()).body);
    }
    std::string piece;
    const auto now = std::chrono::steady_clock::now();
    for (const Store::Row& row : *rows) {
      after_ = row.order;
      // What the store has of an ask that waits is as old as its last change.
      const Entry* entry = approvals_.book().At(row.order);
      piece += (entry != nullptr ? AskJson(*entry, Detail::kList, now) : row.json) + "\n";
    }
    if (!piece.empty()) return done(std::move(piece));
    listed_ = true;
    Next(std::move(done));
  }

  [[nodiscard]] bool Wanted(const Entry& entry) const {
    return query_.cell.empty() || query_.WantsCell(entry.ask->cell_id, entry.ask->cell_name);
  }

  void SkipAllBut(std::uint64_t count) {
    const auto& entries = approvals_.book().entries();
    for (auto entry = entries.rbegin(); entry != entries.rend(); ++entry) {
      if (!Wanted(entry->second)) continue;
      if (count-- == 0) {
        after_ = entry->first;
        return;
      }
    }
  }

  std::string ListPiece() {
    std::string piece;
    if (!query_.Wants(State::kPending)) return piece;
    const auto now = std::chrono::steady_clock::now();
    const auto& entries = approvals_.book().entries();
    for (auto entry = entries.upper_bound(after_);
         entry != entries.end() && piece.size() < kPieceBytes; ++entry) {
      after_ = entry->first;
      if (Wanted(entry->second)) piece += AskJson(entry->second, Detail::kList, now) + "\n";
    }
    return piece;
  }

  void OnChange(const Entry& entry) {
    if (!Wanted(entry) || overflowed_) return;
    // The list comes to it as it is then.
    const bool will_be_listed = !listed_ && entry.order > after_ && query_.Wants(State::kPending);
    if (will_be_listed && entry.state == State::kPending) return;
    waiting_ += AskJson(entry, Detail::kList, std::chrono::steady_clock::now()) + "\n";
    if (waiting_.size() > kMaxWaitingBytes) {
      overflowed_ = true;
      waiting_ = http::ErrorResponse(503, "too much has changed since this was read last",
                                     "the reader is too slow", "ask again")
                     .body;
    }
    if (done_) std::exchange(done_, nullptr)(std::exchange(waiting_, {}));
  }

  loop::Loop& loop_;
  Approvals& approvals_;
  const ListQuery query_;
  std::uint64_t after_ = 0;  // the last one that was listed
  bool listed_ = false, skipped_ = false;
  std::string waiting_;
  bool overflowed_ = false;
  Done done_;
  std::unique_ptr<Approvals::Subscription> subscription_;
};

}  // namespace

std::shared_ptr<http::ChunkSource> MakeListStream(loop::Loop& loop, Approvals& approvals,
                                                  ListQuery query) {
  return std::make_shared<ListStream>(loop, approvals, std::move(query));
}

}  // namespace cellrun::approvals
