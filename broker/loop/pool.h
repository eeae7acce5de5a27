// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cellrun::loop {

// A few threads for work that takes long and that somebody waits for, such as reading a whole file.
// They are started when there is work for them. Thread-safe; work that has not begun when the Pool
// is destroyed is dropped.
class Pool {
 public:
  explicit Pool(std::size_t threads) noexcept : limit_(threads) {}
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void Do(std::function<void()> work);

 private:
  void Run();

  const std::size_t limit_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  std::size_t idle_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cellrun::loop
