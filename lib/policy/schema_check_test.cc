// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/schema_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/policy/document_fixture.h"

namespace cellrun::policy {
namespace {

using fixture::Body;
using fixture::Doc;
using fixture::ProblemsOf;
using testing::HasSubstr;
using testing::IsEmpty;

struct Case {
  const char* body;
  const char* problem;
};

std::string Rule(const std::string& keys) {
  return "commands: {rules: [{when: {exe: x}, " + keys + "}]}\n";
}

TEST(SchemaCheckTest, RefusesWrongTypes) {
  const Case cases[] = {
      {"name: 1\n", "p.yaml:2:7: name: a number, '1'"},
      {"name: true\n", "name: a truth value, 'true'"},
      {"name: []\n", "name: a list"},
      {"name:\n", "name: nothing"},
      {"extends: base\n", "extends: a single value; expected a list"},
      {"commands: []\n", "commands: a list; expected a map of keys"},
      {"commands: {rules: {}}\n", "commands.rules: a map; expected a list of maps"},
      {"commands: {rules: [x]}\n", "commands.rules: a single value; expected a map of keys"},
      {"commands: {rules: [{when: {tty: yes}, then: ask}]}\n",
       "tty: text, 'yes'; expected true or"},
      {"commands: {rules: [{when: {tty: \"true\"}, then: ask}]}\n", "tty: text, 'true'"},
      {"commands: {rules: [{when: {writable: on}, then: ask}]}\n", "writable: text, 'on'"},
      {"commands: {rules: [{when: {exe: [true]}, then: ask}]}\n",
       "exe: a truth value, 'true'; expected a bare name, an absolute path or pattern, ~/… or ./…; "
       "did you mean '\"true\"'?"},
      {"commands: {rules: [{when: {exe: [[x]]}, then: ask}]}\n", "exe: a list"},
      {"environment: {set: {A: 1}}\n", "did you mean '\"1\"'?"},
      {"environment: {set: {A: null}}\n", "environment.set: nothing"},
      {"environment: {set: [A]}\n", "environment.set: a list; expected a map of names"},
      {"limits: {processes: \"5\"}\n", "limits.processes: text, '5'"},
      {"limits: {processes: 1.5}\n", "limits.processes: a number, '1.5'; expected a whole number"},
      {"network: {groups: {a: x.example}}\n", "network.groups: a single value; expected a list"},
  };
  for (const auto& [body, problem] : cases) EXPECT_THAT(ProblemsOf(body), HasSubstr(problem));
}

TEST(SchemaCheckTest, RefusesValuesOutOfRange) {
  const Case cases[] = {
      {"limits: {processes: 0}\n", "0 is out of range; expected a whole number, 1 to 4194304"},
      {"limits: {processes: -5}\n", "-5 is out of range"},
      {"limits: {processes: 99999999999999999999}\n", "is out of range"},
      {"limits: {cpus: 0}\n", "expected a number, 0.01 to 4096"},
      {"limits: {cpus: .nan}\n", "is out of range"},
      {"limits: {cpus: .inf}\n", "is out of range"},
      {"limits: {memory: 1K}\n", "1K is out of range"},
      {"limits: {time: 1ms}\n", "1ms is out of range"},
      {"filesystem: {tmp: 2T}\n", "2T is out of range; expected a whole number and a unit"},
      {"approvals: {timeout: 8d}\n", "8d is out of range"},
      {"approvals: {on-timeout: allow}\n", "unknown value 'allow'; expected deny"},
  };
  for (const auto& [body, problem] : cases) EXPECT_THAT(ProblemsOf(body), HasSubstr(problem));
  EXPECT_THAT(ProblemsOf({Doc("cellrun: 2\n")}), HasSubstr("2 is out of range; expected 1"));
}

TEST(SchemaCheckTest, ReadsNumbersAsDecimals) {
  EXPECT_EQ(fixture::Load("limits: {processes: 010}\n").limits.processes->value, 10U);
  EXPECT_EQ(fixture::Load("limits: {processes: 0x10}\n").limits.processes->value, 16U);
}

TEST(SchemaCheckTest, RefusesMalformedValues) {
  const Case cases[] = {
      {"filesystem: {read: [relative]}\n", "'relative': not an absolute path"},
      {"filesystem: {read: [/a/../b]}\n", "'..' leads elsewhere"},
      {"filesystem: {read: [~bob/x]}\n", "not an absolute path"},
      {"filesystem: {read: ['/a/*']}\n", "patterns have no meaning here"},
      {"filesystem: {write: [/]}\n", "the whole tree cannot be meant"},
      {"filesystem: {hide: [.]}\n", "the whole tree cannot be meant"},
      {"filesystem: {hide: [../x]}\n", "'..' leads elsewhere"},
      {"filesystem: {hide: ['*.env']}\n", "a pattern without **"},
      {"filesystem: {hide: ['**/[a']}\n", "'**/[a': "},
      {"filesystem: {home: x}\n", "not an absolute path"},
      {"filesystem: {hide: [~]}\n", "a lone ~ is YAML's null: write it in quotes"},
      {"filesystem: {tmp: 2}\n", "filesystem.tmp: a number, '2'"},
      {"filesystem: {tmp: '2'}\n", "'2' does not fit"},
      {"path: []\n", "path: an empty list"},
      {"path: [bin]\n", "not an absolute path"},
      {"commands: {rules: [{when: {exe: '{a'}, then: ask}]}\n", "'{a': "},
      {"commands: {rules: [{when: {exe: a/b}, then: ask}]}\n", "'a/b': "},
      {"commands: {rules: [{when: {exe: ''}, then: ask}]}\n", "'' does not fit"},
      {"commands: {rules: [{when: {args: ['re:(']}, then: ask}]}\n", "'re:(': "},
      {"commands: {rules: [{when: {hash: 'sha256:12'}, then: ask}]}\n",
       "does not fit; expected sha"},
      {"commands: {rules: [{when: {env: {'A B': x}}, then: ask}]}\n", "'A B' does not fit"},
      {"commands: {rules: [{when: {user: 4294967295}, then: ask}]}\n", "does not fit"},
      {"network: {rules: [{to: 'a b', then: deny}]}\n", "not a host name"},
      {"network: {rules: [{to: a.example, ports: [0], then: deny}]}\n", "'0' does not fit"},
      {"network: {rules: [{to: a.example, ports: [], then: deny}]}\n", "an empty list"},
      {"network: {rules: [{to: [], then: deny}]}\n", "an empty list"},
      {"network: {publish: ['0:80']}\n", "does not fit"},
      {"network: {publish: ['x:1:80']}\n", "does not fit"},
      {"network: {upstream-proxy: 'http://u:p@proxy.example:1'}\n", "user information"},
      {"network: {upstream-proxy: 'ftp://proxy.example:1'}\n", "does not fit"},
      {"network: {dns: {upstream: [resolver.example]}}\n", "does not fit"},
      {"network: {dns: {split: [10.0.0.53]}}\n", "network.dns.split: a list"},
      {"network: {dns: {split: {corp.example: []}}}\n", "an empty list"},
      {"network: {dns: {split: {corp.example: }}}\n", "nothing"},
      {"network: {dns: {split: {corp.example: resolver.example}}}\n",
       "p.yaml:2:39: network.dns.split: 'resolver.example' does not fit; expected system, or the "
       "IP"},
      {"network: {dns: {split: {corp.example: 10.0.0.0/8}}}\n", "'10.0.0.0/8' does not fit"},
      {"network: {dns: {split: {corp.example: '10.0.0.1:53-54'}}}\n", "does not fit"},
      {"network: {dns: {split: {'*.corp.example': 10.0.0.53}}}\n",
       "a domain stands for everything below it as well: write 'corp.example'"},
      {"network: {dns: {split: {.corp.example: 10.0.0.53}}}\n", "write 'corp.example'"},
      {"network: {dns: {split: {corp.example.: 10.0.0.53}}}\n", "not a host name"},
      {"network: {dns: {split: {'*': 10.0.0.53}}}\n", "all other names are `network.dns.upstream`"},
      {"network: {dns: {split: {10.0.0.1: 10.0.0.53}}}\n", "'10.0.0.1' does not fit"},
      {"network: {dns: {split: {'@npm': 10.0.0.53}}}\n", "'@npm' does not fit"},
      {"network: {dns: {split: {host: 10.0.0.53}}}\n", "'host' does not fit"},
      {"network: {dns: {split: {'b\u00fccher.example': 10.0.0.53}}}\n", "not a host name"},
      {"network: {dns: {splitt: {corp.example: 10.0.0.53}}}\n", "did you mean"},
      {"network: {groups: {'a b': []}}\n", "'a b': "},
      {"network: {groups: {g: ['@npm']}}\n", "a group has no meaning here"},
      {"syscalls: {rules: [{name: read, then: deny}]}\n", "'read' does not fit"},
      {"environment: {pass: ['A=B']}\n", "does not fit"},
      {"tools: [{name: a/b}]\n", "'a/b' does not fit"},
      {"tools: [{name: ..}]\n", "'..' does not fit"},
      {"secrets: [{name: A, from: 'vault:x'}]\n", "does not fit"},
      {"secrets: [{name: A, from: 'env:'}]\n", "does not fit"},
      {"cell: {user: '1000:staff'}\n", "does not fit"},
      {"cell: {hostname: a_b}\n", "does not fit"},
      {"cell: {image: '-v'}\n", "does not fit"},
      {"name: 'a b'\n", "does not fit"},
      {"require: [magic]\n", "unknown value 'magic'"},
      {"tests: [{exec: [], expect: deny}]\n", "an empty list"},
  };
  for (const auto& [body, problem] : cases) {
    EXPECT_THAT(ProblemsOf(body), HasSubstr(problem)) << body;
  }
}

TEST(SchemaCheckTest, RefusesMalformedConsequences) {
  EXPECT_THAT(ProblemsOf(Rule("then: deny, errno: EWRONG")), HasSubstr("'EWRONG' does not fit"));
  EXPECT_THAT(ProblemsOf(Rule("then: deny, errno: 13")), HasSubstr("errno: a number"));
  EXPECT_THAT(ProblemsOf(Rule("then: ask, expires: 2026-02-30")), HasSubstr("does not fit"));
  EXPECT_THAT(ProblemsOf(Rule("then: deny, expires: 2262-01-01")), HasSubstr("1970 to 2261"));
  EXPECT_THAT(ProblemsOf(Rule("then: deny, expires: 1600-01-01")), HasSubstr("1970 to 2261"));
  EXPECT_THAT(ProblemsOf(Rule("then: ask, expires: tomorrow")), HasSubstr("does not fit"));
  EXPECT_THAT(ProblemsOf(Rule("then: ask, timeout: 5")), HasSubstr("timeout: a number"));
  EXPECT_THAT(ProblemsOf(Rule("then: ask, approvers: 0")), HasSubstr("out of range"));
  EXPECT_THAT(ProblemsOf(Rule("then: ask, name: default")), HasSubstr("default is called"));
  EXPECT_THAT(ProblemsOf(Rule("then: allow, rewrite: {}")), HasSubstr("an empty map"));
}

TEST(SchemaCheckTest, RefusesRulesThatLackSomething) {
  EXPECT_THAT(ProblemsOf("commands: {rules: [{then: ask}]}\n"), HasSubstr("missing key 'when'"));
  EXPECT_THAT(ProblemsOf("commands: {rules: [{when: {exe: x}}]}\n"),
              HasSubstr("missing key 'then'; expected allow, ask, deny"));
  EXPECT_THAT(ProblemsOf("commands: {rules: [{when: {}, then: allow}]}\n"),
              HasSubstr("commands.rules[].when: an empty map"));
  // As "not given" these would match everything.
  EXPECT_THAT(ProblemsOf("commands: {rules: [{when: {exe: []}, then: allow}]}\n"),
              HasSubstr("exe: an empty list; expected at least one entry"));
  EXPECT_THAT(ProblemsOf("commands: {rules: [{when: {env: {}}, then: allow}]}\n"),
              HasSubstr("env: an empty map"));
}

TEST(SchemaCheckTest, BoundsTheNumberOfRegularExpressions) {
  std::string body = "commands: {rules: [{then: ask, when: {exe: [";
  for (int i = 0; i < 128; ++i) body += "'re:a" + std::to_string(i) + "', ";
  EXPECT_THAT(ProblemsOf(body + "x]}}]}\n"), IsEmpty());
  EXPECT_THAT(ProblemsOf(body + "'re:b', 're:c']}}]}\n"),
              HasSubstr("one regular expression too many; expected at most 128"));
}

TEST(SchemaCheckTest, NamesTheMergeKey) {
  EXPECT_THAT(ProblemsOf("commands: {<<: {default: allow}}\n"), HasSubstr("a merge key (<<)"));
}

TEST(SchemaCheckTest, FloorMayOnlyRestrict) {
  for (const char* body :
       {"environment: {pass: [A]}\n", "filesystem: {read: [/x]}\n", "filesystem: {write: [/x]}\n",
        "path: [/x]\n", "tools: []\n", "secrets: []\n", "extends: [x]\n", "cell: {user: self}\n",
        "network: {publish: []}\n", "environment: {set: {}}\n"}) {
    EXPECT_THAT(ProblemsOf({Body(body, Layer::kFloor, "f"), Body("name: x\n")}),
                HasSubstr("cannot stand in a floor document"))
        << body;
  }
}

TEST(SchemaCheckTest, WorkspaceFileMayNotGrant) {
  for (const char* body :
       {"environment: {pass: [A]}\n", "environment: {set: {A: b}}\n", "filesystem: {read: [/x]}\n",
        "filesystem: {write: [/x]}\n", "filesystem: {root: /x}\n", "filesystem: {home: /x}\n",
        "path: [/x]\n", "tools: []\n", "secrets: []\n", "extends: [x]\n", "cell: {user: self}\n",
        "network: {publish: [1]}\n", "network: {groups: {a: []}}\n", "network: {dns: {}}\n",
        "network: {upstream-proxy: x}\n"}) {
    const std::string problems =
        ProblemsOf({Body(body, Layer::kWorkspace, "w"), Body("name: x\n")});
    EXPECT_THAT(problems, HasSubstr("cannot be set by a file in the workspace")) << body;
    EXPECT_THAT(problems, HasSubstr("cellrun trust")) << body;
  }
  for (const char* keys : {"run: ghost", "rewrite: {args-append: [x]}", "check: x"}) {
    EXPECT_THAT(ProblemsOf({Body(Rule(std::string("then: ask, ") + keys), Layer::kWorkspace, "w"),
                            Body("name: x\n")}),
                HasSubstr("cannot be set by a file in the workspace"))
        << keys;
  }
}

TEST(SchemaCheckTest, TakesWellFormedValues) {
  for (const char* body : {
           "name: agents/codex\n",
           "description: |\n  two\n  lines\n",
           "commands: {rules: [{when: {exe: \"[\"}, then: allow}]}\n",
           "commands: {rules: [{when: {exe: [/opt/**/bin/*, ./build/**, ~/bin/x, 're:/x.*']}, "
           "then: ask}]}\n",
           "commands: {rules: [{when: {args: []}, then: ask}]}\n",
           "cell: {user: 1000}\n",
           "cell: {user: '1000:100'}\n",
           "environment: {pass: [LANG, LC_*, 'X[AB]']}\n",
           "network: {rules: [{to: '*', ports: 443, then: deny}]}\n",
           "filesystem: {hide: [\"~\"]}\n",
           "network: {dns: {upstream: system}}\n",
           "network: {dns: {split: {corp.example: 10.0.0.53, b: ['::1', '[::1]:5353']}}}\n",
           "network: {dns: {split: {}}}\n",
       }) {
    EXPECT_THAT(ProblemsOf(body), IsEmpty()) << body;
  }
}

}  // namespace
}  // namespace cellrun::policy
