// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <string>

namespace cellrun::test {

// As `expires` of a profile has it.
inline std::string MomentText(std::time_t moment) {
  tm parts{};
  (void)gmtime_r(&moment, &parts);
  std::array<char, 32> text{};
  EXPECT_GT(std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts), 0U);
  return text.data();
}

}  // namespace cellrun::test
