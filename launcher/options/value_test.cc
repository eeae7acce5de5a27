// SPDX-License-Identifier: Apache-2.0
#include "launcher/options/value.h"

#include <gtest/gtest.h>

#include <array>

#include "launcher/options/nearest.h"

namespace cellrun::options {
namespace {

using namespace std::chrono_literals;

TEST(ParseDurationTest, ReadsOneNumberAndOneUnit) {
  EXPECT_EQ(ParseDuration("500ms"), 500ms);
  EXPECT_EQ(ParseDuration("90s"), 90s);
  EXPECT_EQ(ParseDuration("5m"), 5min);
  EXPECT_EQ(ParseDuration("2h"), 2h);
  EXPECT_EQ(ParseDuration("7d"), 168h);
}

TEST(ParseDurationTest, RefusesEverythingElse) {
  for (const char* text : {"", "s", "5", "-5s", "+5s", "5 s", "5S", "1h30m", "1.5h", "0s",
                           "99999999999999999999s", "9999999d", "5s "}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

TEST(ParseMomentTest, ReadsRfc3339InEveryForm) {
  const auto now = std::chrono::system_clock::now();
  const auto noon = std::chrono::sys_days(std::chrono::year(2026) / 7 / 1) + 12h;
  EXPECT_EQ(ParseMoment("2026-07-01T12:00:00Z", now), noon);
  EXPECT_EQ(ParseMoment("2026-07-01T12:00:00.250Z", now), noon + 250ms);
  EXPECT_EQ(ParseMoment("2026-07-01T14:00:00+02:00", now), noon);
  EXPECT_EQ(ParseMoment("2026-07-01T06:30:00-05:30", now), noon);
  EXPECT_EQ(ParseMoment("10m", now), now - 10min);
}

TEST(ParseMomentTest, RefusesWhatIsNoMoment) {
  for (const char* text :
       {"", "2026-07-01", "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-07-01T24:00:00Z",
        "2026-07-01T12:00:00", "2026-07-01T12:00:00.Z", "2026-07-01T12:00:00Zx", "now"}) {
    EXPECT_FALSE(ParseMoment(text, {})) << text;
  }
}

TEST(NearestTest, FindsSlipsAndBeginnings) {
  constexpr std::array<std::string_view, 4> kWords = {"--profile", "--workspace", "--read",
                                                      "--report"};
  EXPECT_EQ(Nearest("--porfile", kWords), "--profile");
  EXPECT_EQ(Nearest("--work", kWords), "--workspace");
  EXPECT_EQ(Nearest("--raed", kWords), "--read");
  EXPECT_EQ(Nearest("--zzzz", kWords), "");
  EXPECT_EQ(Nearest(std::string(100000, 'x'), kWords), "");
}

}  // namespace
}  // namespace cellrun::options
