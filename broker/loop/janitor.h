// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace cellrun::loop {

// Does what may take long and that nobody waits for, such as closing the last descriptor of a mount
// namespace (each mount in it is taken down then, about 0.5 ms), in order, on a thread of its own.
// Thread-safe; destruction does what is left.
class Janitor {
 public:
  Janitor() = default;
  ~Janitor();
  Janitor(const Janitor&) = delete;
  Janitor& operator=(const Janitor&) = delete;

  void Do(std::function<void()> work);

 private:
  void Run();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool stopping_ = false;
  std::thread thread_;  // started with the first work
};

}  // namespace cellrun::loop
