// SPDX-License-Identifier: Apache-2.0
#include "broker/loop/loop_thread.h"

#include <future>
#include <memory>

namespace cellrun::loop {

LoopThread::~LoopThread() {
  loop_.Post([this] { loop_.Stop(); });
  thread_.join();
}

void LoopThread::Do(const std::function<void()>& work) {
  const auto done = std::make_shared<std::promise<void>>();
  const std::future<void> waited = done->get_future();
  loop_.Post([&work, done] {
    work();
    done->set_value();
  });
  waited.wait();
}

}  // namespace cellrun::loop
