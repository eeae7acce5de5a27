// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/journal.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "broker/journal/caps.h"
#include "broker/journal/queue.h"
#include "broker/journal/schema.h"
#include "broker/journal/store.h"
#include "lib/base/log.h"
#include "lib/sys/file.h"

namespace cellrun::journal {
namespace {
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kEarlyCommitBytes = 4 << 20;  // queued text that is not left to collect
constexpr std::size_t kMaxQueuedDocuments = 1024;
// What a group and its index pages take at the most, several times over.
constexpr std::uint64_t kMinFreeBytes = 256 * 1024;
constexpr milliseconds kSpaceCheckPeriod{20};
constexpr milliseconds kFirstRetry{100}, kLastRetry{2000};
constexpr milliseconds kCloseTimeout{3000};

Record NoteOfTheJournal(std::string name, std::string reason) {
  Record record = RecordNow(Kind::kJournal, "");
  record.verdict = policy::Action::kAllow;
  record.name = std::move(name);
  record.reason = std::move(reason);
  return record;
}

class Writer;

class Listener : public Journal::Subscription {
 public:
  Listener(Writer& writer, std::uint64_t id) : writer_(writer), id_(id) {}
  ~Listener() override;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  Writer& writer_;
  std::uint64_t id_;
};

class Writer final : public Journal {
 public:
  Writer(std::string path, UniqueFd lock, Store store, const JournalOptions& options)
      : path_(std::move(path)),
        lock_(std::move(lock)),
        options_(options),
        secret_(store.secret()),
        store_(std::move(store)),
        queue_(options.max_queued, options.max_queued_bytes, store_.head_seq() + 1),
        head_{store_.head_seq(), Hex(store_.head_hash())},
        thread_([this] { Run(); }) {}
  ~Writer() override { (void)Close(); }  // whoever wants the error calls Close
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  std::uint64_t Append(Record record) override;
  void SetResult(std::uint64_t seq, std::string result) override;
  bool Healthy() const override;
  Result<std::string> KeepDocument(const policy::Source& source) override;
  Result<void> Flush(milliseconds timeout) override;
  Result<void> Close() override;
  Head head() const override {
    const std::lock_guard lock(mutex_);
    return head_;
  }
  const std::string& path() const override { return path_; }
  std::unique_ptr<Subscription> Subscribe(std::function<void(std::uint64_t)> committed) override;
  void Unsubscribe(std::uint64_t id);

 private:
  using Lock = std::unique_lock<std::mutex>;
  bool HasSpace(Clock::time_point now) const;
  std::uint64_t WaitForCommit(Lock& lock, std::uint64_t seq);
  void Withdraw(std::uint64_t seq);
  void PushFollowUp(std::uint64_t seq, std::string result);
  void Run();
  void WriteUntilClosed();
  void Collect(Lock& lock);
  bool WriteGroup(Lock& lock);
  void OnWritten();
  void OnFailed(Lock& lock, const Error& error);
  bool PruneAfterCommit(Lock& lock);
  void TellSubscribers(std::uint64_t seq);

  const std::string path_;
  const UniqueFd lock_;  // journal.lock, flocked: one chain, one writer
  const JournalOptions options_;
  const std::string secret_;
  Store store_;  // the writer thread's

  mutable std::mutex mutex_;
  std::condition_variable work_;    // for the writer
  std::condition_variable commit_;  // for those who wait for the disk
  Queue queue_;
  Head head_;
  std::optional<Error> broken_;  // why the last commit failed
  mutable bool has_space_ = true;
  mutable Clock::time_point space_checked_{};
  std::uint64_t failures_ = 0;  // failed commits
  std::uint64_t refused_ = 0;   // records since then
  std::uint64_t lost_results_ = 0;
  milliseconds retry_ = kFirstRetry;
  std::optional<Clock::time_point> close_by_;
  bool urgent_ = false;  // somebody waits: commit at once
  bool pruning_ = false;
  bool ended_ = false;

  std::mutex subscribers_mutex_;
  std::map<std::uint64_t, std::function<void(std::uint64_t)>> subscribers_;
  std::uint64_t last_subscriber_ = 0;

  std::thread thread_;  // last: uses all of the above
};

Listener::~Listener() {
  writer_.Unsubscribe(id_);
}

std::uint64_t Writer::Append(Record record) {
  if (record.time == std::chrono::system_clock::time_point{}) {
    record.time = std::chrono::system_clock::now();
  }
  const bool sync = record.sync;
  Entry entry;
  entry.cuts = ApplyCaps(record, secret_);
  const std::size_t bytes = FootprintBytes(record);
  entry.record = std::move(record);
  Lock lock(mutex_);
  if (broken_ || close_by_ || !queue_.HasRoom(bytes) || !HasSpace(Clock::now())) {
    ++refused_;
    return 0;
  }
  const std::uint64_t seq = queue_.Push(std::move(entry), bytes);
  const std::size_t waiting = queue_.waiting();
  urgent_ |= sync || queue_.bytes() > kEarlyCommitBytes;
  // The writer is woken once when there is work and once when a group is full, not for each record.
  if (urgent_ || waiting == 1 || waiting == options_.group) work_.notify_one();
  return sync ? WaitForCommit(lock, seq) : seq;
}

// Before a record is taken: a group is written later than what it records happens, and a disk that
// is full by then could not keep it.
bool Writer::HasSpace(Clock::time_point now) const {
  if (now - space_checked_ < kSpaceCheckPeriod) return has_space_;
  space_checked_ = now;
  const Result<struct statvfs> facts = sys::Fstatvfs(lock_);
  // Some file systems do not say; a quota does not show here. Then the failed commit tells.
  if (!facts.ok() || facts->f_blocks == 0) return has_space_ = true;
  const std::uint64_t blocks = geteuid() == 0 ? facts->f_bfree : facts->f_bavail;
  return has_space_ = blocks * facts->f_frsize >= kMinFreeBytes;
}

std::uint64_t Writer::WaitForCommit(Lock& lock, std::uint64_t seq) {
  const std::uint64_t failures = failures_;
  const bool in_time = commit_.wait_for(lock, options_.sync_timeout, [&] {
    return head_.seq >= seq || failures_ != failures || ended_;
  });
  if (in_time && head_.seq >= seq) return seq;
  Withdraw(seq);
  return 0;
}

// The caller will deny, whatever the record says; it cannot be taken back without a gap.
void Writer::Withdraw(std::uint64_t seq) {
  const bool amended = queue_.Amend(seq, [](Record& record) {
    record.result = "denied";
    record.reason = "the journal could not be written";
  });
  if (!amended) PushFollowUp(seq, "denied");
}

void Writer::SetResult(std::uint64_t seq, std::string result) {
  if (seq == 0) return;  // was refused
  const Lock lock(mutex_);
  if (seq >= queue_.next_seq()) return;
  if (!queue_.Amend(seq, [&](Record& record) { record.result = result; }))
    PushFollowUp(seq, std::move(result));
}

void Writer::PushFollowUp(std::uint64_t seq, std::string result) {
  if (ended_ || !queue_.HasRoomForNotes()) {
    ++lost_results_;
    return;
  }
  Entry entry;
  entry.of = seq;
  entry.record.time = std::chrono::system_clock::now();
  entry.record.result = std::move(result);
  entry.cuts = ApplyCaps(entry.record, secret_);
  const std::size_t bytes = FootprintBytes(entry.record);
  queue_.Push(std::move(entry), bytes);
  if (queue_.waiting() == 1) work_.notify_one();
}

bool Writer::Healthy() const {
  const std::lock_guard lock(mutex_);
  space_checked_ = {};
  return !broken_ && !close_by_ && queue_.HasRoom(sizeof(Record)) && HasSpace(Clock::now());
}

Result<std::string> Writer::KeepDocument(const policy::Source& source) {
  std::string digest = Hex(Sha256().Of({source.text}));
  const std::lock_guard lock(mutex_);
  if (broken_) return *broken_;
  if (close_by_ || queue_.documents() >= kMaxQueuedDocuments) {
    return Error(ENOBUFS, "keeping a profile in the journal");
  }
  queue_.PushDocument({digest, source.text});
  work_.notify_one();
  return digest;
}

Result<void> Writer::Flush(milliseconds timeout) {
  Lock lock(mutex_);
  const std::uint64_t seq = queue_.next_seq() - 1;
  const std::uint64_t failures = failures_;
  urgent_ = true;
  work_.notify_one();
  const bool in_time = commit_.wait_for(lock, timeout, [&] {
    return (head_.seq >= seq && queue_.documents() == 0) || failures_ != failures || ended_;
  });
  if (head_.seq >= seq && queue_.documents() == 0) return {};
  if (broken_) return *broken_;
  return Error(in_time ? ESHUTDOWN : ETIMEDOUT, "writing the journal", path_);
}

Result<void> Writer::Close() {
  {
    const std::lock_guard lock(mutex_);
    if (!close_by_) close_by_ = Clock::now() + kCloseTimeout;
    work_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
  const std::lock_guard lock(mutex_);
  if (queue_.empty()) return {};
  const std::string lost = std::to_string(queue_.records()) + " records could not be written";
  return broken_ ? Error(*broken_).With(lost) : Error(EIO, "closing the journal", lost);
}

std::unique_ptr<Journal::Subscription> Writer::Subscribe(
    std::function<void(std::uint64_t)> committed) {
  const std::lock_guard lock(subscribers_mutex_);
  subscribers_.emplace(++last_subscriber_, std::move(committed));
  return std::make_unique<Listener>(*this, last_subscriber_);
}

void Writer::Unsubscribe(std::uint64_t id) {
  const std::lock_guard lock(subscribers_mutex_);
  subscribers_.erase(id);
}

void Writer::TellSubscribers(std::uint64_t seq) {
  const std::lock_guard lock(subscribers_mutex_);
  for (const auto& [id, committed] : subscribers_) committed(seq);
}

void Writer::Run() {
  pthread_setname_np(pthread_self(), "journal");
  try {
    WriteUntilClosed();
  } catch (const std::exception& error) {
    log::Fail("journal writer ended by an exception", {{"what", error.what()}});
    std::abort();
  }
}

void Writer::WriteUntilClosed() {
  Lock lock(mutex_);
  for (;;) {
    if (!pruning_) work_.wait(lock, [&] { return !queue_.empty() || close_by_ || urgent_; });
    Collect(lock);
    bool progress = true;
    if (!queue_.empty()) progress = WriteGroup(lock);
    if (progress) pruning_ = PruneAfterCommit(lock);
    if (close_by_ && (queue_.empty() || (broken_ && Clock::now() > *close_by_))) break;
  }
  ended_ = true;
  commit_.notify_all();
}

// Waits for more, so that records share one fsync, and late results find their record still here.
void Writer::Collect(Lock& lock) {
  if (!pruning_ && !broken_) {
    work_.wait_for(lock, options_.group_window,
                   [&] { return urgent_ || close_by_ || queue_.waiting() >= options_.group; });
  }
  urgent_ = false;
}

bool Writer::WriteGroup(Lock& lock) {
  queue_.BeginWriting(options_.group);
  lock.unlock();
  const Result<void> written = store_.Commit(queue_.group(), queue_.group_documents());
  lock.lock();
  queue_.EndWriting(written.ok());
  if (!written.ok()) {
    OnFailed(lock, written.error());
    return false;
  }
  OnWritten();
  const std::uint64_t seq = head_.seq;
  lock.unlock();
  TellSubscribers(seq);
  lock.lock();
  return true;
}

void Writer::OnWritten() {
  head_ = {store_.head_seq(), Hex(store_.head_hash())};
  retry_ = kFirstRetry;
  commit_.notify_all();
  if (broken_) log::Info("journal can be written again", {{"refused", refused_}});
  const bool was_broken = broken_.has_value();
  broken_.reset();
  // Also after a full queue: whatever was refused was denied, and the journal says so.
  if (!was_broken && refused_ == 0 && lost_results_ == 0) return;
  if (!queue_.HasRoomForNotes()) return;
  Entry entry;
  entry.record =
      NoteOfTheJournal("resumed", std::to_string(refused_) +
                                      " records were refused, and what they were about denied; " +
                                      std::to_string(lost_results_) + " results were not kept");
  entry.record.count = std::exchange(refused_, 0);
  lost_results_ = 0;
  const std::size_t bytes = FootprintBytes(entry.record);
  queue_.Push(std::move(entry), bytes);
}

void Writer::OnFailed(Lock& lock, const Error& error) {
  if (!broken_) {
    log::Fail("journal cannot be written, everything is denied", {{"error", error.ToString()}});
  }
  broken_ = error;
  ++failures_;
  commit_.notify_all();
  work_.wait_for(lock, retry_, [&] { return close_by_ && Clock::now() > *close_by_; });
  retry_ = std::min(2 * retry_, close_by_ ? kFirstRetry : kLastRetry);
}

bool Writer::PruneAfterCommit(Lock& lock) {
  lock.unlock();
  const Result<bool> more = store_.PruneSome();
  const Result<std::uint64_t> goal = store_.PruneGoal();
  lock.lock();
  if (!more.ok() || !goal.ok()) {
    const Error& error = !more.ok() ? more.error() : goal.error();
    log::Warn("ignoring that old records could not be pruned", {{"error", error.ToString()}});
    return false;
  }
  if (goal.value() != 0 && !close_by_) {
    Entry entry;
    entry.record = NoteOfTheJournal("pruned", "the journal reached its size limit");
    entry.record.count = goal.value() - store_.pruned_through();
    entry.record.detail = "{\"through\":" + std::to_string(goal.value()) + "}";
    entry.prune_goal = goal.value();
    queue_.Push(std::move(entry), sizeof(Record));
    urgent_ = true;
  }
  return more.value() && !close_by_;
}

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& state_directory,
                                               const JournalOptions& options) {
  TRY(CheckStateDirectory(state_directory));
  const std::string path = state_directory + "/journal.db";
  const std::string lock_path = state_directory + "/journal.lock";
  UniqueFd lock = TRY(sys::OpenAt(AT_FDCWD, lock_path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600)
                          .With(lock_path));
  if (!TRY(sys::FlockExclusiveNow(lock))) {
    return Error(EBUSY, "opening the journal", "another broker writes " + path);
  }
  TRY(CheckDatabaseFile(path));
  Store store = TRY(Store::Open(path, options.max_bytes));
  return std::unique_ptr<Journal>(
      std::make_unique<Writer>(path, std::move(lock), std::move(store), options));
}

}  // namespace cellrun::journal
