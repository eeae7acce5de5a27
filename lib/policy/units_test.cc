// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/units.h"

#include <gtest/gtest.h>

namespace cellrun::policy {
namespace {

using std::chrono::milliseconds;

TEST(DurationTest, ReadsEachUnit) {
  EXPECT_EQ(ParseDuration("100ms"), milliseconds(100));
  EXPECT_EQ(ParseDuration("30s"), milliseconds(30'000));
  EXPECT_EQ(ParseDuration("5m"), milliseconds(300'000));
  EXPECT_EQ(ParseDuration("2h"), milliseconds(7'200'000));
  EXPECT_EQ(ParseDuration("7d"), milliseconds(604'800'000));
}

TEST(DurationTest, RefusesWhatIsNotANumberAndAUnit) {
  for (const char* text : {"", "5", "m", "-5m", "+5m", " 5m", "5 m", "5m ", "5M", "1.5h", "5mm",
                           "99999999999999999999s", "4000d", "0x5m"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

TEST(DurationTest, FormatsSoThatItReadsBack) {
  for (const char* text : {"0ms", "1ms", "90s", "5m", "36h", "7d", "1500ms"}) {
    EXPECT_EQ(FormatDuration(*ParseDuration(text)), text);
  }
}

TEST(SizeTest, CountsInPowersOf1024) {
  EXPECT_EQ(ParseSize("64K"), 64U << 10);
  EXPECT_EQ(ParseSize("512M"), 512U << 20);
  EXPECT_EQ(ParseSize("2G"), 2ULL << 30);
  EXPECT_EQ(ParseSize("1T"), 1ULL << 40);
}

TEST(SizeTest, RefusesWhatIsNotANumberAndAUnit) {
  for (const char* text :
       {"", "G", "-1G", "2g", "2GB", "2GiB", "1.5G", "2 G", "9999999T", "18446744073709551616"}) {
    EXPECT_FALSE(ParseSize(text)) << text;
  }
}

TEST(SizeTest, FormatsSoThatItReadsBack) {
  for (const char* text : {"1", "64K", "512M", "2G", "1025K", "1T"}) {
    EXPECT_EQ(FormatSize(*ParseSize(text)), text);
  }
}

}  // namespace
}  // namespace cellrun::policy
