// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <linux/seccomp.h>
#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <unordered_set>

namespace cellrun::exec {

// Which thread groups have an attached task, and what waits for one. At most one task of a group is
// attached at a time: a thread in exec waits, with a mutex held that PTRACE_SEIZE of its siblings
// wants, for all siblings to be gone, and an attached one is not gone before we reap it, so two
// attachments can wait for each other for ever. Thread-safe.
class Attachments {
 public:
  // Fewer than there can be receivers (notify::Receivers): one of those is always left to receive.
  static constexpr std::size_t kMaxAttached = 14;

  enum class Entry {
    kEntered,   // attach, and call Leave
    kPutAside,  // Next() gives it back when it can be handled; it is not answered yet
    kFull,      // refuse it
  };
  Entry Enter(const seccomp_notif& notification, pid_t tgid);
  void Leave(pid_t tgid);
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

 private:
  struct PutAside {
    seccomp_notif notification;
    pid_t tgid;
  };

  std::mutex mutex_;
  std::unordered_set<pid_t> groups_;
  std::deque<PutAside> aside_;
  std::unordered_map<pid_t, Call> expected_;
  std::atomic<std::size_t> aside_count_{0}, expected_count_{0};  // to look without the mutex
};

}  // namespace cellrun::exec
