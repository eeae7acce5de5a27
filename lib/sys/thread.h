// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

#include <chrono>
#include <cstddef>
#include <functional>

#include "lib/base/result.h"

// Threads whose stack size is chosen and whose blocking system calls can be interrupted.
namespace cellrun::sys {

// As long as it lives, what the calling thread makes in a file system belongs to somebody else:
// setfsuid(2) and setfsgid(2), which are a thread's own. Without the right to do that, nothing
// changes, and the next call on a file says so.
class FileIdentity {
 public:
  FileIdentity(uid_t uid, gid_t gid) noexcept;
  ~FileIdentity();
  FileIdentity(const FileIdentity&) = delete;
  FileIdentity& operator=(const FileIdentity&) = delete;

 private:
  uid_t uid_;
  gid_t gid_;
};

// The signal that interrupts a thread's blocking call with EINTR: a real-time signal whose handler
// does nothing, installed without SA_RESTART by the first InstallWakeSignal of the process.
int WakeSignal();
Result<void> InstallWakeSignal();

// Owns a joinable thread. All signals but the wake signal are blocked in it. The destructor aborts
// if it was not joined: who owns a thread decides how it ends.
class Thread {
 public:
  Thread() noexcept = default;
  Thread(Thread&& other) noexcept;
  Thread& operator=(Thread&& other) noexcept;
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;
  ~Thread();

  // EAGAIN: no more threads. `body` must not throw.
  static Result<Thread> Start(std::size_t stack_bytes, std::function<void()> body);

  [[nodiscard]] bool joinable() const noexcept { return started_; }
  // Sends the wake signal. The thread may have been about to block: repeat until it ended.
  void Wake() const noexcept;
  void Join() noexcept;

 private:
  pthread_t thread_{};
  bool started_ = false;
};

// Interrupts the thread that made it, with the wake signal, every `period` while it is armed.
class ThreadTicker {
 public:
  static Result<ThreadTicker> Make();
  ThreadTicker(ThreadTicker&& other) noexcept;
  ThreadTicker& operator=(ThreadTicker&& other) noexcept;
  ThreadTicker(const ThreadTicker&) = delete;
  ThreadTicker& operator=(const ThreadTicker&) = delete;
  ~ThreadTicker();

  void Arm(std::chrono::nanoseconds period) noexcept;  // from now on
  void Disarm() noexcept;
  [[nodiscard]] std::chrono::nanoseconds period() const noexcept { return period_; }  // 0: disarmed

 private:
  explicit ThreadTicker(timer_t timer) noexcept : timer_(timer), owned_(true) {}
  timer_t timer_{};
  bool owned_ = false;
  std::chrono::nanoseconds period_{0};
};

// Gives back what the calling thread's stack has below its present depth. For a thread that is
// about to wait for long; what it touches again is empty.
void ReleaseUnusedStack() noexcept;

// The calling thread, of an ordinary policy, runs at most so long at a time, and in return soon
// after it wakes: the share of the processor stays what it is. Linux 6.12 and later; before,
// nothing changes. Nobody starts with it by fork or a new thread.
void ShortenTimeSlice(std::chrono::nanoseconds slice) noexcept;

pid_t ThreadId() noexcept;  // gettid(2)
// Whether the thread belongs to the group (tgkill(2) without a signal). ESRCH is false too.
bool IsThreadOf(pid_t tgid, pid_t tid) noexcept;
Result<void> Kill(pid_t pid, int signal);  // kill(2); only for a pid that cannot be recycled
Result<bool> HungUp(int fd);               // poll(2) now: POLLHUP or POLLERR

}  // namespace cellrun::sys
