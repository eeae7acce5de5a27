// SPDX-License-Identifier: Apache-2.0
#include "lib/base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace cellrun {
namespace {

Result<int> Half(int n) {
  if (n % 2 != 0) return Error(EINVAL, "half");
  return n / 2;
}
Result<int> Quarter(int n) {
  return TRY(Half(TRY(Half(n).With("first"))).With("second"));
}

TEST(ResultTest, TryReturnsTheValueOrLeavesWithTheError) {
  EXPECT_EQ(Quarter(8).value(), 2);
  EXPECT_EQ(Quarter(6).error().ToString(), "second: half: Invalid argument");
  EXPECT_EQ(Quarter(5).error().code(), EINVAL);
}

TEST(ResultTest, HoldsMoveOnlyValues) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(3);
  EXPECT_EQ(*std::move(result).value(), 3);
}

TEST(ResultDeathTest, ReachingAMissingValueAborts) {
  EXPECT_DEATH((void)Half(1).value(), "CHECK failed: ok");
}

TEST(ErrnoNameTest, RoundTrips) {
  EXPECT_EQ(ErrnoName(EACCES), "EACCES");
  EXPECT_EQ(ErrnoFromName("EACCES"), EACCES);
  EXPECT_EQ(ErrnoFromName("ENOTHING"), 0);
}

}  // namespace
}  // namespace cellrun
