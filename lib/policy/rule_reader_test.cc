// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/rule_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/policy/document_fixture.h"

namespace cellrun::policy {
namespace {

using fixture::Body;
using fixture::ProblemsOf;
using testing::HasSubstr;

std::string ProblemsOfRule(const std::string& keys) {
  return ProblemsOf("commands: {rules: [{when: {exe: x}, " + keys + "}]}\n");
}

TEST(RuleReaderTest, RefusesConsequencesThatMeanNothing) {
  const std::pair<const char*, const char*> cases[] = {
      {"then: allow, message: m",
       "'message' means nothing with then: allow; expected only with "
       "then: deny"},
      {"then: ask, suggest: s", "'suggest' means nothing with then: ask"},
      {"then: allow, errno: EACCES", "'errno' means nothing with then: allow"},
      {"then: allow, timeout: 5m", "'timeout' means nothing with then: allow"},
      {"then: deny, timeout: 5m", "'timeout' means nothing with then: deny"},
      {"then: allow, approvers: 2", "'approvers' means nothing with then: allow"},
      {"then: deny, run: ghost", "'run' means nothing with then: deny"},
      {"then: deny, rewrite: {args-append: [x]}",
       "'rewrite' means nothing with then: deny; "
       "expected only with then: allow or ask"},
      {"then: deny, check: x", "'check' means nothing with then: deny"},
      {"then: allow, ghost: {}", "'ghost' without run: ghost"},
      {"then: ask, run: mirror, ghost: {}", "'ghost' without run: ghost"},
      {"then: deny, errno: EACCES, message: m", "'errno' beside 'message'"},
  };
  for (const auto& [keys, problem] : cases) {
    EXPECT_THAT(ProblemsOfRule(keys), HasSubstr(problem)) << keys;
  }
}

TEST(RuleReaderTest, ParentsNeverLoosen) {
  EXPECT_THAT(ProblemsOf("commands: {rules: [{when: {parent: make}, then: allow}]}\n"),
              HasSubstr("'parent' in a rule that allows"));
  EXPECT_EQ(ProblemsOf("commands: {rules: [{when: {parent: make}, then: deny}]}\n"), "");
}

TEST(RuleReaderTest, SyscallsOpenOnlyWhatWasReviewed) {
  EXPECT_THAT(ProblemsOf("syscalls: {rules: [{name: mount, then: allow}]}\n"),
              HasSubstr("'mount' cannot be allowed"));
  EXPECT_THAT(ProblemsOf("syscalls: {rules: [{name: [ptrace, mount], then: allow}]}\n"),
              HasSubstr("'mount' cannot be allowed"));
  EXPECT_THAT(ProblemsOf("syscalls: {rules: [{name: ptrace, then: ask}]}\n"),
              HasSubstr("'ptrace' cannot be asked for"));
}

TEST(RuleReaderTest, RefusesUnknownGroupsAndSecrets) {
  EXPECT_THAT(ProblemsOf("network: {rules: [{to: ['@nmp'], then: deny}]}\n"),
              HasSubstr("p.yaml:2:25: unknown group '@nmp'"));
  EXPECT_THAT(ProblemsOfRule("then: ask, run: ghost, ghost: {network: ['@nmp:443']}"),
              HasSubstr("unknown group '@nmp'"));
  EXPECT_THAT(ProblemsOf("tools: [{name: x, network: ['@nmp']}]\n"),
              HasSubstr("unknown group '@nmp'"));
  EXPECT_THAT(ProblemsOf("network: {groups: {npm: []}}\n"), HasSubstr("@npm is built in"));
  EXPECT_THAT(ProblemsOfRule("then: ask, run: ghost, ghost: {secrets: [NOPE]}"),
              HasSubstr("unknown secret 'NOPE'"));
  EXPECT_THAT(ProblemsOf("tools: [{name: x, secrets: [NOPE]}]\n"),
              HasSubstr("unknown secret 'NOPE'"));
}

TEST(RuleReaderTest, AMirroredToolHasNoRightsOfItsOwn) {
  for (const char* right :
       {"network: ['a:1']", "write: [/x]", "image: /x", "limits: {files: 64}"}) {
    EXPECT_THAT(ProblemsOf("tools: [{name: x, run: mirror, " + std::string(right) + "}]\n"),
                HasSubstr("of a tool with run: mirror"))
        << right;
  }
  EXPECT_EQ(ProblemsOf("tools: [{name: x, run: mirror}]\n"), "");
}

TEST(RuleReaderTest, RefusesTwoOfOneName) {
  EXPECT_THAT(ProblemsOf("tools: [{name: x}, {name: x}]\n"), HasSubstr("a second tool 'x'"));
  EXPECT_THAT(ProblemsOf("secrets: [{name: X, from: 'env:X'}, {name: X, from: 'env:Y'}]\n"),
              HasSubstr("a second secret 'X'"));
}

TEST(RuleReaderTest, RefusesTestsThatMeanNothing) {
  EXPECT_THAT(ProblemsOf("tests: [{expect: deny}]\n"), HasSubstr("a test without a subject"));
  EXPECT_THAT(ProblemsOf("tests: [{exec: [a], connect: 'a.example:1', expect: deny}]\n"),
              HasSubstr("a test of two subjects"));
  EXPECT_THAT(ProblemsOf("tests: [{connect: 'a.example:1', cwd: /x, expect: deny}]\n"),
              HasSubstr("'cwd' in a test of a connection"));
}

TEST(RuleReaderTest, WorkspaceRulesOnlyNarrow) {
  const char* wide[] = {
      "commands: {rules: [{when: {exe: x}, then: allow}]}\n",
      "network: {rules: [{to: a.example, then: allow}]}\n",
      "syscalls: {rules: [{name: ptrace, then: allow}]}\n",
      "syscalls: {rules: [{name: mknod, then: ask}]}\n",
  };
  for (const char* body : wide) {
    EXPECT_THAT(ProblemsOf({Body(body, Layer::kWorkspace, "w"), Body("name: x\n")}),
                HasSubstr("cellrun trust"))
        << body;
  }
  const char* narrow[] = {
      "commands: {rules: [{when: {exe: x}, then: ask}, {when: {exe: y}, then: deny}]}\n",
      "network: {rules: [{to: a.example, then: ask}]}\n",
      "syscalls: {rules: [{name: ptrace, then: deny}]}\n",
  };
  for (const char* body : narrow) {
    EXPECT_EQ(ProblemsOf({Body(body, Layer::kWorkspace, "w"), Body("name: x\n")}), "") << body;
  }
}

}  // namespace
}  // namespace cellrun::policy
