// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/policy/document_fixture.h"

namespace cellrun::policy {
namespace {

using fixture::Body;
using fixture::Doc;
using fixture::kPlaces;
using fixture::Load;
using fixture::ProblemsOf;
using fixture::Values;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// The example of the format's documentation: every section, every key of a rule at least once.
constexpr const char* kWhole = R"(cellrun: 1
name: strict
description: Everyday development without the network; asks for the rest.
extends: [base]
require: [userns, netns, landlock, seccomp]
cell: {backend: native, image: debian:12, hostname: cell, user: self}
filesystem:
  root: host
  workspace: ro
  home: ~/.cell-home
  read: [~/.gitconfig]
  write: [~/.cache/npm/]
  hide: [/etc/shadow, "~/.ssh", "**/.env"]
  protect: [.git/hooks, ./.git//config, .envrc]
  noexec: [/tmp]
  tmp: 1G
path: [/usr/local/bin, /usr/bin]
commands:
  default: deny
  rules:
    - name: read-only tools
      when: {exe: [ls, cat]}
      then: allow
    - when:
        exe: git
        args: [push, "**"]
        args-any: --force
        args-none: [--dry-run]
        cwd: ./sub/**
        parent: [make]
        user: [1000, ann]
        tty: true
        env: {CI: "1", HOME: null}
        writable: false
        anonymous: false
        hash: sha256:0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef
        script: [/usr/bin/x, "./y"]
        interpreter: python3
      then: ask
      reason: publishes code
      timeout: 5m
      approvers: 2
      check: /usr/bin/check --all
      audit: sync
      expires: 2199-12-31
      run: ghost
      ghost: {network: ["github.com:443"], secrets: [TOKEN], write: [~/x], image: debian,
              limits: {processes: 7, files: 64, time: 2m}}
    - when: {exe: npm}
      then: allow
      rewrite: {args-prepend: [a], args-append: [--ignore-scripts], args-remove: ["-?"],
                env-set: {A: b}, env-drop: [LD_*]}
    - {name: no-root, when: {exe: sudo}, then: deny, message: no, suggest: use npm}
    - {when: {exe: su}, then: deny, errno: EPERM}
network:
  default: ask
  rules:
    - {to: "@npm", then: allow}
    - {to: ["*.github.com", "@ours"], ports: [22, "8000-8010"], then: ask, name: n, reason: r}
    - {to: stun.example.com, ports: 3478, proto: udp, then: deny, expires: 2199-01-01T00:00:00Z}
  groups: {ours: ["git.example.com:22"]}
  publish: [3000, "8080:80", "127.0.0.2:1:2"]
  dns:
    upstream: [192.0.2.1]
    split: {Corp.example: [10.0.0.53, "10.0.0.54:5353"], x.corp.example: system}
  upstream-proxy: "http://proxy.example:3128"
syscalls: {rules: [{name: [mount, bpf], then: deny}, {name: ptrace, then: allow}]}
limits: {memory: 4G, processes: 512, cpus: 0.5, files: 4096, time: 8h, output: 1G}
environment: {pass: [LANG, LC_*], set: {CI: "1"}, drop: [LD_*]}
tools: [{name: terraform, run: ghost, image: i:1.9, network: ["*.example.com:443"]}]
secrets: [{name: TOKEN, from: "file:~/token"}]
approvals: {timeout: 90s, on-timeout: deny, pending: 8}
audit: {commands: denied, arguments: full, network: none}
tests:
  - {exec: [git, push], expect: ask, cwd: /x, env: {A: b}, writable: true, anonymous: false}
  - {connect: "example.com:443", expect: deny, rule: n}
)";

Profile Whole() {
  return Load({Doc(kWhole), Body("name: base\n", Layer::kInherited, "base")});
}

TEST(LoadTest, ReadsEverythingTheFormatCanSay) {
  const Profile profile = Whole();
  EXPECT_EQ(profile.name, "strict");
  EXPECT_THAT(Values(profile.require), ElementsAre("userns", "netns", "landlock", "seccomp"));
  EXPECT_EQ(profile.backend.value, "native");
  EXPECT_EQ(profile.image.value, "debian:12");
  EXPECT_EQ(profile.filesystem.workspace.value, WorkspaceMode::kReadOnly);
  EXPECT_EQ(profile.filesystem.tmp_bytes.value, 1ULL << 30);
  EXPECT_THAT(Values(profile.path), ElementsAre("/usr/local/bin", "/usr/bin"));
  EXPECT_EQ(profile.command_default.value, Action::kDeny);
  EXPECT_EQ(profile.network_default.value, Action::kAsk);
  EXPECT_EQ(profile.limits.memory_bytes->value, 4ULL << 30);
  EXPECT_EQ(profile.limits.processes->value, 512U);
  EXPECT_EQ(profile.limits.cpus->value, 0.5);
  EXPECT_EQ(profile.limits.files->value, 4096U);
  EXPECT_EQ(profile.limits.time->value, std::chrono::hours(8));
  EXPECT_EQ(profile.limits.output_bytes->value, 1ULL << 30);
  EXPECT_THAT(Values(profile.environment_pass), ElementsAre("LANG", "LC_*"));
  EXPECT_EQ(profile.environment_set.at("CI").value, "1");
  EXPECT_THAT(Values(profile.environment_drop), ElementsAre("LD_*"));
  EXPECT_EQ(profile.approval_timeout.value, std::chrono::seconds(90));
  EXPECT_EQ(profile.approvals_pending.value, 8U);
  EXPECT_EQ(profile.audit_commands.value, AuditLevel::kDenied);
  EXPECT_EQ(profile.audit_network.value, AuditLevel::kNone);
  EXPECT_FALSE(profile.audit_redact.value);
}

TEST(LoadTest, ReadsEveryCondition) {
  const CommandRule rule = Whole().command_rules.at(1);
  EXPECT_THAT(rule.when.exe, ElementsAre("git"));
  EXPECT_THAT(*rule.when.args, ElementsAre("push", "**"));
  EXPECT_THAT(rule.when.args_any, ElementsAre("--force"));
  EXPECT_THAT(rule.when.args_none, ElementsAre("--dry-run"));
  EXPECT_THAT(rule.when.cwd, ElementsAre("./sub/**"));
  EXPECT_THAT(rule.when.parent, ElementsAre("make"));
  EXPECT_THAT(rule.when.user, ElementsAre("1000", "ann"));
  EXPECT_EQ(rule.when.tty, true);
  ASSERT_EQ(rule.when.env.size(), 2U);
  EXPECT_EQ(rule.when.env[0].glob, "1");
  EXPECT_EQ(rule.when.env[1].glob, std::nullopt);
  EXPECT_EQ(rule.when.writable, false);
  EXPECT_EQ(rule.when.anonymous, false);
  EXPECT_THAT(rule.when.hash, ElementsAre("0123456789abcdef0123456789abcdef0123456789abcdef"
                                          "0123456789abcdef"));
  EXPECT_THAT(rule.when.script, ElementsAre("/usr/bin/x", "./y"));
  EXPECT_THAT(rule.when.interpreter, ElementsAre("python3"));
}

TEST(LoadTest, ReadsEveryConsequence) {
  const std::vector<CommandRule> rules = Whole().command_rules;
  ASSERT_EQ(rules.size(), 5U);
  EXPECT_EQ(rules[0].name, "read-only tools");
  EXPECT_EQ(rules[0].then, Action::kAllow);
  EXPECT_EQ(rules[0].at, (Position{"p.yaml", 21, 7}));
  EXPECT_EQ(rules[1].then, Action::kAsk);
  EXPECT_EQ(rules[1].reason, "publishes code");
  EXPECT_EQ(rules[1].timeout, std::chrono::minutes(5));
  EXPECT_EQ(rules[1].approvers, 2);
  EXPECT_EQ(rules[1].check, "/usr/bin/check --all");
  EXPECT_TRUE(rules[1].audit_sync);
  EXPECT_EQ(rules[1].expires, "2199-12-31");
  EXPECT_EQ(rules[1].run, Strategy::kGhost);
  EXPECT_THAT(rules[1].ghost->network, ElementsAre("github.com:443"));
  EXPECT_THAT(rules[1].ghost->secrets, ElementsAre("TOKEN"));
  EXPECT_THAT(rules[1].ghost->write, ElementsAre("/home/ann/x"));
  EXPECT_EQ(rules[1].ghost->image, "debian");
  EXPECT_EQ(rules[1].ghost->limits.processes->value, 7U);
  EXPECT_EQ(rules[1].ghost->limits.files->value, 64U);
  EXPECT_EQ(rules[1].ghost->limits.time->value, std::chrono::minutes(2));
  EXPECT_FALSE(rules[1].ghost->limits.memory_bytes);
  EXPECT_THAT(rules[2].rewrite.args_prepend, ElementsAre("a"));
  EXPECT_THAT(rules[2].rewrite.args_append, ElementsAre("--ignore-scripts"));
  EXPECT_THAT(rules[2].rewrite.args_remove, ElementsAre("-?"));
  EXPECT_THAT(rules[2].rewrite.env_set, ElementsAre(testing::Pair("A", "b")));
  EXPECT_THAT(rules[2].rewrite.env_drop, ElementsAre("LD_*"));
  EXPECT_EQ(rules[3].message, "no");
  EXPECT_EQ(rules[3].suggest, "use npm");
  EXPECT_EQ(rules[4].error, EPERM);
}

TEST(LoadTest, ReadsNetworkToolsAndTests) {
  const Profile profile = Whole();
  ASSERT_EQ(profile.network_rules.size(), 3U);
  EXPECT_THAT(profile.network_rules[1].to, ElementsAre("*.github.com", "@ours"));
  EXPECT_THAT(profile.network_rules[1].ports,
              ElementsAre(testing::Pair(22, 22), testing::Pair(8000, 8010)));
  EXPECT_TRUE(profile.network_rules[2].udp);
  EXPECT_THAT(profile.network_rules[2].ports, ElementsAre(testing::Pair(3478, 3478)));
  EXPECT_THAT(profile.network_groups.at("ours"), ElementsAre("git.example.com:22"));
  ASSERT_EQ(profile.publish.size(), 3U);
  EXPECT_EQ(profile.publish[1].value.host, 8080);
  EXPECT_EQ(profile.publish[1].value.cell, 80);
  EXPECT_EQ(profile.publish[2].value.address, "127.0.0.2");
  EXPECT_THAT(profile.dns_upstream, ElementsAre("192.0.2.1"));
  ASSERT_EQ(profile.dns_split.size(), 2U);
  EXPECT_THAT(profile.dns_split.at("corp.example").value,
              ElementsAre("10.0.0.53", "10.0.0.54:5353"));
  EXPECT_TRUE(profile.dns_split.at("x.corp.example").value.empty());
  ASSERT_EQ(profile.syscall_rules.size(), 2U);
  EXPECT_THAT(profile.syscall_rules[0].names, ElementsAre("mount", "bpf"));
  EXPECT_EQ(profile.tools.at(0).ghost.image, "i:1.9");
  EXPECT_EQ(profile.secrets.at(0).from, "file:/home/ann/token");
  ASSERT_EQ(profile.tests.size(), 2U);
  EXPECT_THAT(profile.tests[0].exec, ElementsAre("git", "push"));
  EXPECT_EQ(profile.tests[0].writable, true);
  EXPECT_EQ(profile.tests[1].connect, "example.com:443");
  EXPECT_EQ(profile.tests[1].rule, "n");
}

TEST(LoadTest, MakesPathsAbsolute) {
  const Filesystem files = Whole().filesystem;
  EXPECT_EQ(files.home.value, "/home/ann/.cell-home");
  EXPECT_THAT(Values(files.read), ElementsAre("/home/ann/.gitconfig"));
  EXPECT_THAT(Values(files.write), ElementsAre("/home/ann/.cache/npm"));
  EXPECT_THAT(Values(files.hide),
              ElementsAre("/etc/shadow", "/home/ann/.ssh", "/home/ann/project/**/.env"));
  EXPECT_THAT(Values(files.protect),
              ElementsAre("/home/ann/project/.git/hooks", "/home/ann/project/.git/config",
                          "/home/ann/project/.envrc"));
}

TEST(LoadTest, DirectoryOfAPatternIsTakenLiterally) {
  const Checked<Profile> loaded =
      LoadProfile({Body("filesystem: {hide: ['**/.env', a]}\n")}, {"/home/ann", "/home/ann/[x]*"});
  ASSERT_TRUE(loaded.ok());
  EXPECT_THAT(Values(loaded.value().filesystem.hide),
              ElementsAre("/home/ann/\\[x]\\*/**/.env", "/home/ann/[x]*/a"));
}

TEST(LoadTest, NamesWhatIsWrongAndWhere) {
  EXPECT_EQ(ProblemsOf("commands:\n  rules:\n    - when: {exce: ls}\n      then: allow\n"),
            "p.yaml:4:14: unknown key 'exce' in commands.rules[].when; expected one of: exe, hash, "
            "script, interpreter, args, args-any, args-none, cwd, parent, user, tty, env, "
            "writable, anonymous; did you mean 'exe'?\n");
  EXPECT_EQ(ProblemsOf("commands: {default: allwo}\n"),
            "p.yaml:2:21: commands.default: unknown value 'allwo'; expected allow, ask, deny; did "
            "you mean 'allow'?\n");
  EXPECT_EQ(ProblemsOf({Doc("name: x\n")}), "p.yaml:1:1: missing key 'cellrun'; expected 1\n");
}

TEST(LoadTest, ReportsProblemsInDocumentOrderAndAtMostTwenty) {
  std::string body = "name: [x]\nrequire: no\n";
  for (int i = 0; i < 40; ++i) body += "unknown" + std::to_string(i) + ": 1\n";
  const Checked<Profile> loaded = LoadProfile({Body(body)}, kPlaces);
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.problems().size(), 20U);
  for (std::size_t i = 0; i < loaded.problems().size(); ++i) {
    EXPECT_EQ(loaded.problems()[i].at.line, static_cast<int>(i) + 2);
  }
}

TEST(LoadTest, EscapesTextOfTheFile) {
  const std::string problems = ProblemsOf({Body("\"\\e]0;x\\a\": 1\n", Layer::kProfile, "a\nb")});
  EXPECT_THAT(problems, HasSubstr("a\\u{a}b.yaml:2:1: unknown key '\\u{1b}]0;x\\u{7}'"));
}

TEST(LoadTest, MissingBaseIsAProblem) {
  EXPECT_THAT(ProblemsOf("extends: [base]\n"), HasSubstr("p.yaml:2:11: 'base' is not there"));
}

TEST(LoadTest, RefusesAChainThatIsTooLong) {
  std::vector<Source> sources{Body("name: x\n")};
  for (int i = 0; i < kMaxExtends; ++i) {
    sources.push_back(Body("name: y\n", Layer::kInherited, "y" + std::to_string(i)));
  }
  EXPECT_THAT(ProblemsOf(sources), HasSubstr("17 profiles in one chain"));
}

TEST(LoadTest, TakesTheFileNameWhereNoNameIsGiven) {
  EXPECT_EQ(Load({{"", "/x/mine.yaml", "cellrun: 1\n", Layer::kProfile}}).name, "mine");
  EXPECT_EQ(Load({{"strict", "/x/mine.yaml", "cellrun: 1\n", Layer::kProfile}}).name, "strict");
}

TEST(LoadTest, ExtendingItselfThroughOthersIsAProblem) {
  const Checked<Profile> round =
      LoadProfile({Body("extends: [base]\n"), Body("extends: [more]\n", Layer::kInherited, "base"),
                   Body("extends: [base]\n", Layer::kInherited, "more")},
                  {"/home/u", "/work"});
  ASSERT_FALSE(round.ok());
  EXPECT_THAT(round.problems().front().ToString(), HasSubstr("extends this profile again"));
}

TEST(LoadTest, OneBaseReachedTwiceIsFine) {
  EXPECT_TRUE(
      LoadProfile({Body("extends: [a, b]\n"), Body("extends: [b]\n", Layer::kInherited, "a"),
                   Body("", Layer::kInherited, "b")},
                  {"/home/u", "/work"})
          .ok());
}

TEST(ReadExtendsTest, GivesTheNamesInOrder) {
  const Checked<std::vector<std::string>> names = ReadExtends(Body("extends: [b, agents/a]\n"));
  ASSERT_TRUE(names.ok());
  EXPECT_THAT(names.value(), ElementsAre("b", "agents/a"));
}

TEST(ReadExtendsTest, ChecksTheWholeDocument) {
  EXPECT_FALSE(ReadExtends(Body("extends: [b]\ncommands: {default: maybe}\n")).ok());
  EXPECT_FALSE(ReadExtends(Body("extends: [b]\n", Layer::kFloor)).ok());
  EXPECT_FALSE(ReadExtends(Body("extends: [b]\n", Layer::kWorkspace)).ok());
}

std::vector<std::string> Unsupported(const std::string& body) {
  std::vector<std::string> found;
  for (const Problem& problem : UnsupportedFeatures(Load(body))) {
    found.push_back(problem.ToString());
  }
  return found;
}

TEST(UnsupportedTest, NamesEachFeatureThatIsNotEnforcedYet) {
  const std::pair<const char*, const char*> cases[] = {
      {"commands: {rules: [{when: {exe: a}, then: allow, run: ghost, ghost: {image: b}}]}\n",
       "ghost: image b (only a directory)"},
      {"cell: {backend: docker}\n", "cell.backend: docker"},
      {"cell: {image: debian}\n", "cell.image"},
      {"filesystem: {root: image}\n", "filesystem.root: image"},
      {"filesystem: {workspace: overlay}\n", "filesystem.workspace: overlay"},
      {"filesystem: {workspace: snapshot}\n", "filesystem.workspace: snapshot"},
      {"syscalls: {rules: [{name: mknod, then: ask}]}\n", "a syscalls rule with then: ask"},
  };
  for (const auto& [body, feature] : cases) {
    EXPECT_THAT(Unsupported(body),
                ElementsAre(testing::EndsWith(std::string("not supported yet: ") + feature)))
        << body;
  }
}

TEST(UnsupportedTest, LeavesAloneWhatIsEnforced) {
  EXPECT_THAT(
      Unsupported(
          "require: [ebpf]\n"
          "filesystem: {root: /srv/root, workspace: ro}\n"
          "limits: {processes: 5, files: 100, time: 5m}\n"
          "syscalls: {rules: [{name: [ptrace, perf, keyctl, userns], then: allow}]}\n"
          "network: {default: ask, rules: [{to: a.example, then: ask},\n"
          "          {to: [host, 192.0.2.1, '2001:db8::/32', '*.b.example'], then: allow}],\n"
          "          dns: {upstream: 192.0.2.1}}\n"
          "commands: {rules: [{when: {exe: a}, then: ask, approvers: 2}]}\n"),
      IsEmpty());
}

}  // namespace
}  // namespace cellrun::policy
