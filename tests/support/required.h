// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

// For what a test needs of the machine: skips with the reason where `condition` does not hold, and
// fails where CELLRUN_MUST_RUN is set, since a case that was not run proves nothing. In a test's
// own body or in SetUp.
#define REQUIRE_OR_SKIP(condition, reason)                                                 \
  do {                                                                                     \
    if (condition) break;                                                                  \
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing in a test changes the environment */ \
    if (getenv("CELLRUN_MUST_RUN") != nullptr) FAIL() << "required: " << (reason);         \
    GTEST_SKIP() /* REQUIRE_OR_SKIP */ << (reason);                                        \
  } while (false)
