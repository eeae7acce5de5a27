// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/error_form.h"

#include <gtest/gtest.h>

namespace cellrun::launcher {
namespace {

TEST(ErrorFormTest, LeavesOutEmptyParts) {
  EXPECT_EQ(FormatError({"it failed", "", ""}), "error: it failed\n");
  EXPECT_EQ(FormatError({"it failed", "why", "this"}),
            "error: it failed\ncause: why\ntry:   this\n");
}

TEST(ErrorFormTest, KeepsForeignTextInItsPart) {
  EXPECT_EQ(FormatError({"a\nerror: forged", "", ""}), "error: a\n       error: forged\n");
  EXPECT_EQ(FormatError({"\x1b[31mred", "", ""}), "error: \\u{1b}[31mred\n");
}

// Who made the text has escaped what it quotes (a profile's problem: 'a\u{9}b').
TEST(ErrorFormTest, EscapesOnce) {
  EXPECT_EQ(FormatError({"unknown key 'a\\u{9}b'", "", ""}), "error: unknown key 'a\\u{9}b'\n");
  EXPECT_EQ(FormatError({"'a\\\\b' \x1b\\", "", ""}), "error: 'a\\\\b' \\u{1b}\\\n");
}

}  // namespace
}  // namespace cellrun::launcher
