// SPDX-License-Identifier: Apache-2.0
#include "lib/base/unique_fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace cellrun {
namespace {

TEST(UniqueFdTest, ClosesOnceAndMoves) {
  UniqueFd a(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int number = a.get();
  UniqueFd b = std::move(a);
  EXPECT_FALSE(a.valid());
  EXPECT_EQ(b.get(), number);
  b.Reset();
  EXPECT_EQ(fcntl(number, F_GETFD), -1);
}

TEST(UniqueFdDeathTest, DoubleCloseAborts) {
  EXPECT_DEATH(
      {
        UniqueFd fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
        close(fd.get());
      },
      "CHECK failed");
}

}  // namespace
}  // namespace cellrun
