// SPDX-License-Identifier: Apache-2.0
#include "broker/http/workers.h"

#include <pthread.h>

#include <exception>
#include <utility>

#include "lib/base/log.h"

namespace cellrun::http {

Workers::Workers(std::string database, int threads) : database_(std::move(database)) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Serve(); });
}

Workers::~Workers() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Workers::Run(Work work) {
  {
    const std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
  }
  changed_.notify_one();
}

void Workers::Serve() {
  pthread_setname_np(pthread_self(), "journal-query");
  Result<journal::Reader> reader = Error(EBADF, "opening the journal");
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || !work_.empty(); });
    if (stop_) return;
    Work work = std::move(work_.front());
    work_.pop_front();
    lock.unlock();
    if (!reader.ok()) reader = journal::Reader::Open(database_);
    try {
      work(reader);
    } catch (const std::exception& error) {
      log::Fail("a query failed", {{"what", error.what()}});
    }
    work = nullptr;  // what it holds goes before the lock is taken
    lock.lock();
  }
}

}  // namespace cellrun::http
