// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "broker/notify/listener.h"
#include "broker/notify/remote_memory.h"
#include "lib/base/result.h"
#include "lib/sys/thread.h"

namespace cellrun::notify {

class Receivers;

// What the thread that handles a notification has at hand.
class Lane {
 public:
  // Call before anything that may block for longer than a judgement takes: makes sure that another
  // thread receives meanwhile. False: there is none, and none can be started.
  bool EnsureReceiver();
  // The calling thread's blocking calls return EINTR about this often, so that it can look at
  // deadlines and at stopping().
  void Tick(std::chrono::nanoseconds period);
  void TickSlowly();
  [[nodiscard]] bool stopping() const;
  [[nodiscard]] const std::atomic<bool>* stop_flag() const noexcept;
  [[nodiscard]] MemoryScratch& memory() noexcept { return memory_; }

 private:
  friend class Receivers;
  Lane(Receivers& receivers, sys::ThreadTicker ticker)
      : receivers_(receivers), ticker_(std::move(ticker)) {}

  Receivers& receivers_;
  sys::ThreadTicker ticker_;
  MemoryScratch memory_;
  std::chrono::nanoseconds idle_since_{0};
};

// The leader/follower pool of one listener. All idle threads block in SECCOMP_IOCTL_NOTIF_RECV (the
// kernel wakes one); a thread handles what it took to its end. A thread that has been idle for some
// seconds beside another one ends; a last idle one has neither timer nor large buffers
// nor more of a stack than it needs to wait.
class Receivers {
 public:
  struct Hooks {
    std::function<void(const seccomp_notif&, Lane&)> handle;
    // A notification that was put aside and can be handled now. Asked after each one.
    std::function<std::optional<seccomp_notif>()> next;
    // Once, on a thread of the pool: nothing can be received any more, because no task is left
    // (nothing), or because of an error; then tasks wait for an answer that will not come.
    std::function<void(std::optional<Error>)> ended;
  };

  Receivers(const Listener& listener, Hooks hooks);
  ~Receivers();  // as Stop
  Receivers(const Receivers&) = delete;
  Receivers& operator=(const Receivers&) = delete;

  [[nodiscard]] Result<void> Start();
  // Interrupts and joins every thread. Not from a thread of the pool.
  void Stop();
  [[nodiscard]] std::size_t threads() const;

 private:
  friend class Lane;
  struct Worker {
    sys::Thread thread;
    bool ended = false;
  };

  Result<void> StartWorker();  // with mutex_ held
  bool EnsureReceiver();
  void JoinEnded();  // with mutex_ held
  void Run(Worker& worker);
  void Serve(Lane& lane);
  bool Receive(Lane& lane);  // false: this thread is no longer needed
  bool Idle(Lane& lane);
  void End(std::optional<Error> broken);

  const Listener& listener_;
  const Hooks hooks_;
  std::atomic<int> receiving_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> ended_{false};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Worker> workers_;            // guarded by mutex_
  std::atomic<std::size_t> running_{0};  // written with mutex_ held
};

}  // namespace cellrun::notify
