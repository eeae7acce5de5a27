// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/shebang.h"

#include <gtest/gtest.h>

namespace cellrun::exec {
namespace {

struct Line {
  std::string header;
  std::optional<std::string> interpreter, argument;
};

class ShebangTest : public testing::TestWithParam<Line> {};

TEST_P(ShebangTest, IsReadAsTheKernelReadsIt) {
  const std::optional<Shebang> shebang = ParseShebang(GetParam().header);
  ASSERT_EQ(shebang.has_value(), GetParam().interpreter.has_value());
  if (!shebang.has_value()) return;
  EXPECT_EQ(shebang->interpreter, *GetParam().interpreter);
  EXPECT_EQ(shebang->argument, GetParam().argument);
}

std::string Full(std::string text) {
  text.resize(kHeaderBytes, 'x');
  return text;
}

INSTANTIATE_TEST_SUITE_P(
    Lines, ShebangTest,
    testing::Values(
        Line{"#!/bin/sh\n", "/bin/sh", std::nullopt}, Line{"#!/bin/sh", "/bin/sh", std::nullopt},
        Line{"#! \t /bin/sh \t \n", "/bin/sh", std::nullopt},
        Line{"#!/bin/sh -e\n", "/bin/sh", "-e"},
        Line{"#!/usr/bin/env  -S a b \n", "/usr/bin/env", "-S a b"},
        Line{"#!/bin/sh\t-x\t-y\n", "/bin/sh", "-x\t-y"}, Line{"#!sh\n", "sh", std::nullopt},
        Line{std::string("#!/bin/sh\0-e\n", 13), "/bin/sh", std::nullopt},
        Line{std::string("#!/bin/sh -e\0f\n", 15), "/bin/sh", "-e"},
        Line{"#!\n", std::nullopt, std::nullopt}, Line{"#!   \n", std::nullopt, std::nullopt},
        Line{"#!", "", std::nullopt},  // NULs follow: an empty name, which is then not found
        Line{"#", std::nullopt, std::nullopt}, Line{"", std::nullopt, std::nullopt},
        Line{" #!/bin/sh\n", std::nullopt, std::nullopt},
        Line{Full("#!/"), std::nullopt, std::nullopt},  // the name may be cut off
        Line{Full("#!   "), std::nullopt, std::nullopt},
        Line{Full("#!/bin/sh "), "/bin/sh", std::string(kHeaderBytes - 11, 'x')},
        Line{"#!" + std::string(kHeaderBytes - 2, ' '), std::nullopt, std::nullopt}));

}  // namespace
}  // namespace cellrun::exec
