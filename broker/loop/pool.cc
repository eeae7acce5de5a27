// SPDX-License-Identifier: Apache-2.0
#include "broker/loop/pool.h"

#include <utility>

namespace cellrun::loop {

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    work_.clear();
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Pool::Do(std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  work_.push_back(std::move(work));
  if (work_.size() > idle_ && threads_.size() < limit_) {
    threads_.emplace_back([this] { Run(); });
  }
  changed_.notify_one();
}

void Pool::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    ++idle_;
    changed_.wait(lock, [this] { return stopping_ || !work_.empty(); });
    --idle_;
    if (stopping_) return;
    const std::function<void()> work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    work();
    lock.lock();
  }
}

}  // namespace cellrun::loop
