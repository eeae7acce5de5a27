// SPDX-License-Identifier: Apache-2.0
#include "broker/http/records.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "broker/http/answers.h"
#include "broker/http/workers.h"

namespace cellrun::http {
namespace {

constexpr std::chrono::milliseconds kFlushTimeout{1000};
constexpr int kWorkers = 2;  // one may verify for seconds while the other answers

// Streams that reached the end of the journal and wait for it to grow.
class Followers {
 public:
  // Calls `more` once after the next commit past `seq`, unless `owner` is gone by then; at once if
  // that has happened.
  void Wait(std::uint64_t seq, std::weak_ptr<void> owner, std::function<void()> more) {
    {
      const std::lock_guard lock(mutex_);
      if (committed_ <= seq) {
        std::erase_if(waiting_, [](const Waiting& waiting) { return waiting.owner.expired(); });
        waiting_.push_back({std::move(owner), std::move(more)});
        return;
      }
    }
    more();
  }
  void OnCommit(std::uint64_t seq) {
    std::vector<Waiting> ready;
    {
      const std::lock_guard lock(mutex_);
      committed_ = std::max(committed_, seq);
      std::swap(ready, waiting_);
    }
    for (const Waiting& waiting : ready) waiting.more();
  }
  [[nodiscard]] std::uint64_t committed() const {
    const std::lock_guard lock(mutex_);
    return committed_;
  }

 private:
  struct Waiting {
    std::weak_ptr<void> owner;
    std::function<void()> more;
  };
  mutable std::mutex mutex_;
  std::uint64_t committed_ = 0;
  std::vector<Waiting> waiting_;
};

std::string ErrorLine(const Error& error) {
  return ErrorResponse(error).body;
}

// Makes a body's pieces on the workers. Kept alive by the session that sends it; work in progress
// holds it too.
class PageStream final : public ChunkSource, public std::enable_shared_from_this<PageStream> {
 public:
  using Done = std::function<void(std::optional<std::string>)>;
  PageStream(Workers& workers, Followers& followers, std::unique_ptr<Pages> pages)
      : workers_(workers), followers_(followers), pages_(std::move(pages)) {}

  void Next(Done done) override {
    workers_.Run([self = shared_from_this(),
                  done = std::move(done)](Result<journal::Reader>& reader) mutable {
      self->MakePiece(reader, std::move(done));
    });
  }

 private:
  void MakePiece(Result<journal::Reader>& reader, Done done) {
    if (ended_) return done(std::nullopt);
    const std::uint64_t committed = followers_.committed();
    auto piece = reader.ok() ? pages_->Next(reader.value()) : reader.error();
    if (!piece.ok()) {
      ended_ = true;
      return done(ErrorLine(piece.error()));
    }
    ended_ = piece->end && !pages_->follows();
    if (!piece->text.empty()) return done(std::move(piece->text));
    if (ended_) return done(std::nullopt);
    if (!piece->end) return Next(std::move(done));
    // A reader that went away must not be kept until the next commit: the session owns the stream.
    followers_.Wait(committed, weak_from_this(),
                    [weak = weak_from_this(), done = std::move(done)]() mutable {
                      if (const auto self = weak.lock()) self->Next(std::move(done));
                    });
  }

  Workers& workers_;
  Followers& followers_;
  const std::unique_ptr<Pages> pages_;
  bool ended_ = false;
};

class JournalRecords final : public Records {
 public:
  explicit JournalRecords(journal::Journal& journal)
      : journal_(journal), database_(journal.path()), workers_(database_, kWorkers) {
    followers_.OnCommit(journal.head().seq);
    subscription_ = journal.Subscribe([this](std::uint64_t seq) { followers_.OnCommit(seq); });
  }
  ~JournalRecords() override { subscription_.reset(); }  // before the workers that it feeds
  JournalRecords(const JournalRecords&) = delete;
  JournalRecords& operator=(const JournalRecords&) = delete;

  void Register(Router& router) override {
    for (const AnswerRoute& route : AnswerRoutes()) {
      router.AddAsync(
          "GET", route.pattern, [this, &route](const Request& request, const Responder& responder) {
            workers_.Run([this, &route, request, responder](Result<journal::Reader>& reader) {
              Reply(route, request, responder, reader);
            });
          });
    }
  }

 private:
  void Reply(const AnswerRoute& route, const Request& request, const Responder& responder,
             Result<journal::Reader>& reader) {
    if (!reader.ok()) return responder.Send(ErrorResponse(reader.error()));
    // Whoever asks after a command ended wants its records, also those of the last 50 ms. A journal
    // that cannot be written still shows what it has.
    if (journal_.Healthy()) (void)journal_.Flush(kFlushTimeout);
    const journal::Head head = journal_.head();
    std::optional<journal::ChainHead> expected;
    if (head.seq > 0) expected = journal::ChainHead{.seq = head.seq, .hash = head.hash};
    Answer answer = route.answer({reader.value(), database_, std::move(expected)}, request);
    if (answer.pages == nullptr) return responder.Send(std::move(answer.response));
    responder.Stream(std::move(answer.response),
                     std::make_shared<PageStream>(workers_, followers_, std::move(answer.pages)));
  }

  journal::Journal& journal_;
  const std::string database_;
  Followers followers_;
  Workers workers_;
  std::unique_ptr<journal::Journal::Subscription> subscription_;
};

}  // namespace

std::unique_ptr<Records> Records::Make(journal::Journal& journal) {
  return std::make_unique<JournalRecords>(journal);
}

}  // namespace cellrun::http
