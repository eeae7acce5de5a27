// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"
#include "lib/sys/thread.h"

namespace cellrun::net {

// What a Reactor calls when descriptors are ready. On the reactor's thread only.
class Source {
 public:
  virtual ~Source() = default;
  // `fd`: the one that was watched; `events`: of epoll(7).
  virtual void OnReady(int fd, std::uint32_t events) = 0;
};

// A thread that waits for the sockets of cells: it accepts, dials and relays. Apart from the loop,
// so that a cell that moves bytes or floods costs no other cell its verdicts. Nothing in it blocks.
class Reactor {
 public:
  static Result<std::unique_ptr<Reactor>> Start();
  ~Reactor();
  Reactor(const Reactor&) = delete;
  Reactor& operator=(const Reactor&) = delete;

  void Post(std::function<void()> work);  // thread-safe
  // Ends the thread; what is still watched is let go, and what is posted from then on never runs.
  void Stop();

  // The rest only on the reactor's thread.
  [[nodiscard]] bool OnThread() const;
  // The source lives at least until Forget or the descriptor's last event. A descriptor must be
  // forgotten before it is closed.
  Result<void> Watch(int fd, std::uint32_t events, std::shared_ptr<Source> source);
  void Change(int fd, std::uint32_t events);
  void Forget(int fd);
  using TimerId = std::uint64_t;
  TimerId After(std::chrono::nanoseconds delay, std::function<void()> expired);
  void Cancel(TimerId id);
  // Runs `work` with one descriptor more than the process has: it is kept for refusing what comes
  // when there are none. false: not at all, as it could not be kept.
  bool WithSpare(const std::function<void()>& work);

 private:
  struct Watched {
    std::shared_ptr<Source> source;
    std::uint64_t turn = 0;  // when it was added: an event of an earlier descriptor is not its own
  };
  Reactor() = default;
  void Run();
  void RunPosted();
  void RunTimers();
  [[nodiscard]] int Timeout() const;

  UniqueFd epoll_, wake_, spare_;
  sys::Thread thread_;
  std::atomic<bool> stopping_{false};
  std::atomic<pid_t> tid_{0};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
  std::unordered_map<int, Watched> watched_;
  std::map<std::pair<std::chrono::nanoseconds, TimerId>, std::function<void()>> timers_;
  std::unordered_map<TimerId, std::chrono::nanoseconds> due_;
  TimerId last_timer_ = 0;
  std::uint64_t turn_ = 0;
};

}  // namespace cellrun::net
