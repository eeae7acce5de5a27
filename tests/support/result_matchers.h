// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>

#include <string>

#include "lib/base/result.h"

namespace cellrun::test {

// EXPECT_THAT(result, IsOk());
MATCHER(IsOk, "is a value") {
  if (arg.ok()) return true;
  *result_listener << "which is the error " << arg.error().ToString();
  return false;
}

// EXPECT_THAT(result, FailsWith(EACCES));
MATCHER_P(FailsWith, code, "fails with " + ErrnoName(code)) {
  if (arg.ok()) {
    *result_listener << "which is a value";
    return false;
  }
  *result_listener << "which is the error " << arg.error().ToString();
  return arg.error().code() == code;
}

}  // namespace cellrun::test
