// SPDX-License-Identifier: Apache-2.0
#include "broker/loop/janitor.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <vector>

namespace cellrun::loop {
namespace {

TEST(JanitorTest, WorksInOrderOnAnotherThread) {
  std::vector<int> done;
  std::thread::id worker;
  {
    Janitor janitor;
    for (int n = 0; n < 100; ++n) {
      janitor.Do([&, n] {
        done.push_back(n);
        worker = std::this_thread::get_id();
      });
    }
  }
  ASSERT_EQ(done.size(), 100U) << "destruction does what is left";
  for (int n = 0; n < 100; ++n) EXPECT_EQ(done[static_cast<std::size_t>(n)], n);
  EXPECT_NE(worker, std::this_thread::get_id());
}

TEST(JanitorTest, DoesNotHoldUpWhoAsks) {
  std::promise<void> go;
  std::atomic<bool> done = false;
  Janitor janitor;
  janitor.Do([&, ready = std::make_shared<std::future<void>>(go.get_future())] {
    ready->wait();
    done = true;
  });
  janitor.Do([] {});
  EXPECT_FALSE(done);
  go.set_value();
}

}  // namespace
}  // namespace cellrun::loop
