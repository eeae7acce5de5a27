// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/support/remains.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  cellrun::test::BecomeReaper();
  return RUN_ALL_TESTS();
}
