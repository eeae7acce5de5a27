// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "lib/base/result.h"
#include "lib/base/unique_fd.h"

namespace boost::asio {
class io_context;
}

namespace cellrun::loop {

// The broker's one event loop. Everything but supervisors, the journal writer and workers runs on
// the thread that is in Run(); only Post may be called from elsewhere. Handlers must not block.
class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void Run();                             // until Stop
  void Stop();                            // from a handler
  void Post(std::function<void()> work);  // thread-safe

  // Calls `ready` each time the descriptor can be read (also at end of file), until the Watch is
  // destroyed. The descriptor is borrowed and must outlive the Watch. Destroying it inside `ready`
  // is fine. Not for regular files (epoll(7) refuses them). One Watch a descriptor.
  class Watch {
   public:
    virtual ~Watch() = default;
  };
  [[nodiscard]] std::unique_ptr<Watch> WatchReadable(const UniqueFd& fd,
                                                     std::function<void()> ready);
  // The same for writing: also when a connect has ended, well or not.
  [[nodiscard]] std::unique_ptr<Watch> WatchWritable(const UniqueFd& fd,
                                                     std::function<void()> ready);

  // Calls `expired` once, unless the timer is destroyed before. Monotonic clock. Destroyed before
  // the loop is.
  class Timer {
   public:
    virtual ~Timer() = default;
  };
  [[nodiscard]] std::unique_ptr<Timer> After(std::chrono::nanoseconds delay,
                                             std::function<void()> expired);

  [[nodiscard]] boost::asio::io_context& context();  // for broker/http

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cellrun::loop
