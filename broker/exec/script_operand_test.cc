// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/script_operand.h"

#include <gtest/gtest.h>

namespace cellrun::exec {
namespace {

using Kind = ScriptOperand::Kind;

struct Case {
  const char* program;
  std::vector<std::string> argv;
  Kind kind;
  std::size_t argument;
};

TEST(ScriptOperandTest, IsWhatTheInterpreterWillRead) {
  const Case cases[] = {
      {"/usr/bin/dash", {"sh", "x.sh", "a"}, Kind::kScript, 1},
      {"/usr/bin/bash", {"bash", "-eux", "--norc", "+B", "x.sh"}, Kind::kScript, 4},
      {"/usr/bin/bash", {"bash", "-e", "--", "-odd"}, Kind::kScript, 3},
      {"/usr/bin/bash", {"bash", "-c", "echo"}, Kind::kInline, 0},
      {"/usr/bin/bash", {"bash", "-xc", "echo"}, Kind::kInline, 0},
      {"/usr/bin/bash", {"bash"}, Kind::kInline, 0},
      {"/usr/bin/bash", {"bash", "-s", "x"}, Kind::kUnclear, 0},
      {"/usr/bin/bash", {"bash", "-o", "posix", "x.sh"}, Kind::kUnclear, 0},
      {"/usr/bin/bash", {"bash", "--rcfile", "x", "y"}, Kind::kUnclear, 0},
      {"/usr/bin/python3.11", {"python3", "-u", "x.py"}, Kind::kScript, 2},
      {"/usr/bin/python3", {"python3", "-m", "http.server"}, Kind::kInline, 0},
      {"/usr/bin/python3", {"python3", "-W", "error", "x.py"}, Kind::kUnclear, 0},
      {"/usr/bin/node", {"node", "x.js"}, Kind::kScript, 1},
      {"/usr/bin/node", {"node", "--require", "./x.js", "y.js"}, Kind::kUnclear, 0},
      {"/usr/bin/node", {"node", "-e", "1"}, Kind::kInline, 0},
      {"/usr/bin/perl", {"perl", "-wT", "x.pl"}, Kind::kScript, 2},
      {"/usr/bin/lua5.4", {"lua", "x.lua"}, Kind::kScript, 1},
      {"/usr/bin/git", {"git", "x"}, Kind::kNone, 0},
      {"/usr/bin/bash", {"bash", ""}, Kind::kInline, 0},
  };
  for (const Case& c : cases) {
    const ScriptOperand found = FindScriptOperand(c.program, c.argv);
    EXPECT_EQ(found.kind, c.kind) << c.argv.back();
    EXPECT_EQ(found.argument, c.argument) << c.argv.back();
  }
}

}  // namespace
}  // namespace cellrun::exec
