// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <thread>

#include "broker/loop/loop.h"

namespace cellrun::loop {

// A Loop that runs on a thread of its own. What lives on it is made and destroyed with Do.
class LoopThread {
 public:
  LoopThread() : thread_([this] { loop_.Run(); }) {}
  ~LoopThread();
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  [[nodiscard]] Loop& loop() { return loop_; }
  // On the loop's thread, and returns when it has been done. Not from that thread.
  void Do(const std::function<void()>& work);

 private:
  Loop loop_;
  std::thread thread_;  // last: it uses the loop
};

}  // namespace cellrun::loop
