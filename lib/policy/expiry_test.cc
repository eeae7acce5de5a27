// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/expiry.h"

#include <gtest/gtest.h>

namespace cellrun::policy {
namespace {

long long Seconds(std::string_view text) {
  const std::optional<Time> time = ParseExpiry(text);
  if (!time) return -1;
  return std::chrono::duration_cast<std::chrono::seconds>(time->time_since_epoch()).count();
}

TEST(ExpiryTest, DatesAreMidnightUtcAndTimesAreExact) {
  EXPECT_EQ(Seconds("1970-01-02"), 86400);
  EXPECT_EQ(Seconds("1970-01-01T00:01:00Z"), 60);
  EXPECT_EQ(Seconds("1970-01-01t00:01:00.25z"), 60);
  EXPECT_EQ(Seconds("1970-01-01T02:00:00+01:00"), 3600);
  EXPECT_EQ(Seconds("1970-01-01 00:00:00-01:30"), 5400);
  EXPECT_EQ(Seconds("2024-02-29"), 1709164800);
}

TEST(ExpiryTest, AnythingElseIsNoDate) {
  for (const char* text :
       {"", "tomorrow", "2025-13-01", "2025-02-30", "2023-02-29", "25-01-01", "2025-01-01T",
        "2025-01-01T10:00", "2025-01-01T25:00:00Z", "2025-01-01T10:00:00", "2025-01-01T10:00:00Zx",
        "2025-01-01T10:00:00.Z", "2025/01/01", "2025-01-01x"}) {
    EXPECT_FALSE(ParseExpiry(text)) << text;
  }
}

}  // namespace
}  // namespace cellrun::policy
