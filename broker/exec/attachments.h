// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cellrun::exec {

// Places that the cells of one broker share, for more attachments at a time than each has anyway:
// every one occupies a thread, and a cell that is short of a processor occupies it for seconds.
// Thread-safe.
class SharedPlaces {
 public:
  explicit SharedPlaces(std::size_t count) : free_(static_cast<std::ptrdiff_t>(count)) {}
  [[nodiscard]] bool Take();
  void GiveBack() { ++free_; }
  [[nodiscard]] bool any() const { return free_ > 0; }

 private:
  std::atomic<std::ptrdiff_t> free_;
};

// Which thread groups have an attached task, and what waits for one. At most one task of a group is
// attached at a time: a thread in exec waits, with a mutex held that PTRACE_SEIZE of its siblings
// wants, for all siblings to be gone, and an attached one is not gone before we reap it, so two
// attachments can wait for each other for ever. Thread-safe.
class Attachments {
 public:
  // Fewer than there can be receivers (notify::Receivers): one of those is always left to receive.
  static constexpr std::size_t kMaxAttached = 14;
  // Whatever other cells do.
  static constexpr std::size_t kOwnPlaces = 1;

  // `shared`: for more than that. Null: as many as can be.
  explicit Attachments(std::shared_ptr<SharedPlaces> shared = nullptr)
      : shared_(std::move(shared)) {}
  ~Attachments();
  Attachments(const Attachments&) = delete;
  Attachments& operator=(const Attachments&) = delete;

  enum class Entry {
    kEntered,   // attach, and call Leave
    kPutAside,  // Next() gives it back when it can be handled; it is not answered yet
    kRestart,   // answer kRestartCall: the caller will make the call again
    kRefuse,    // no room, or from a handler in the middle of a redirect
  };
  // ERESTARTNOINTR. Only for a task with a trap pending: it stops on its way out of the call, and
  // the kernel makes the call again. Anybody else would see the number.
  static constexpr int kRestartCall = 513;

  Entry Enter(const seccomp_notif& notification, pid_t tgid);
  void Leave(pid_t tgid);

  // How far the thread that entered is. An exec may fail so fast that its task makes the next call
  // before the thread has interrupted it; received by another thread, that call cannot be
  // interrupted any more, and the stop that is waited for would never come. So a call of the
  // attached task itself is held until the trap is pending, and then sent back.
  enum class Stage {
    kEntered,      // nothing is pending
    kInterrupted,  // a trap is pending
    kRedirecting,  // the next call is announced by Expect, others are refused
    kStopped,      // the trap was taken: to be set before the task runs on
  };
  // The calls held so far, to be answered as Enter says for the stage.
  [[nodiscard]] std::vector<std::uint64_t> Advance(pid_t tgid, Stage stage);
  // Something that was put aside and could enter now.
  std::optional<seccomp_notif> Next();

  // A redirected task will call this next, with just these arguments. Whoever receives it
  // continues it; the thread that is attached to the task verifies what comes of it.
  struct Call {
    int number = 0;
    std::array<std::uint64_t, 5> arguments{};
    bool operator==(const Call&) const = default;
  };
  void Expect(pid_t tid, const Call& call);
  void Forget(pid_t tid);
  // Whether it is expected; it then is no longer.
  bool Take(const seccomp_notif& notification);
  // It has been announced, and nobody has received it.
  [[nodiscard]] bool Expects(pid_t tid);

 private:
  struct PutAside {
    seccomp_notif notification;
    pid_t tgid;
  };
  struct Group {
    pid_t tid = -1;  // the attached task
    Stage stage = Stage::kEntered;
    std::vector<seccomp_notif> held;
  };
  bool TakePlace();                                            // with mutex_ held
  [[nodiscard]] bool HasPlace() const;                         // likewise
  Entry Aside(const seccomp_notif& notification, pid_t tgid);  // with mutex_ held
  static std::optional<Entry> Overtaking(const seccomp_notif& notification, Group& group);

  const std::shared_ptr<SharedPlaces> shared_;
  std::mutex mutex_;
  std::size_t borrowed_ = 0;  // of shared_
  std::unordered_map<pid_t, Group> groups_;
  std::deque<PutAside> aside_;
  std::unordered_map<pid_t, Call> expected_;
  std::atomic<std::size_t> aside_count_{0}, expected_count_{0};  // to look without the mutex
};

}  // namespace cellrun::exec
