// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "broker/journal/reader.h"
#include "lib/base/result.h"

namespace cellrun::http {

// Threads that query the journal, so that the event loop never waits for a disk. Each has its own
// connection. Run may be called from anywhere; work that has not begun when the Workers are
// destroyed is dropped.
class Workers {
 public:
  using Work = std::function<void(Result<journal::Reader>& reader)>;
  Workers(std::string database, int threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;
  void Run(Work work);

 private:
  void Serve();

  const std::string database_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Work> work_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cellrun::http
