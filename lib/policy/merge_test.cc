// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lib/policy/document_fixture.h"
#include "lib/policy/narrow.h"

namespace cellrun::policy {
namespace {

using fixture::Body;
using fixture::Load;
using fixture::ProblemsOf;
using fixture::Values;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Rules(const std::string& name, const std::string& then = "deny") {
  return "commands: {rules: [{name: " + name + ", when: {exe: x}, then: " + then + "}]}\n";
}

std::vector<std::string> RuleNames(const Profile& profile) {
  std::vector<std::string> names;
  for (const CommandRule& rule : profile.command_rules) names.push_back(rule.name);
  return names;
}

Profile LoadChain(const std::string& own, const std::string& base) {
  return Load({Body("extends: [base]\n" + own), Body(base, Layer::kInherited, "base")});
}

Profile LoadWith(Layer layer, const std::string& stronger, const std::string& profile) {
  return Load({Body(stronger, layer, "strong"), Body(profile)});
}

TEST(MergeTest, TriesRulesInOrderOfStrength) {
  // Given in a wrong order: it must not matter to the floor.
  const Profile profile = Load({Body("extends: [base]\n" + Rules("own")),
                                Body(Rules("inherited"), Layer::kInherited, "base"),
                                Body(Rules("workspace"), Layer::kWorkspace, "w"),
                                Body(Rules("remembered"), Layer::kRemembered, "r"),
                                Body(Rules("line"), Layer::kCommandLine, "c"),
                                Body(Rules("floor"), Layer::kFloor, "f")});
  EXPECT_THAT(RuleNames(profile),
              ElementsAre("floor", "remembered", "line", "workspace", "own", "inherited"));
  EXPECT_EQ(profile.command_rules[0].layer, Layer::kFloor);
  EXPECT_EQ(profile.command_rules[5].at.file, "base.yaml");
}

TEST(MergeTest, TestsAppendOwnFirst) {
  const Profile profile =
      LoadChain("tests: [{exec: [a], expect: deny}]\n", "tests: [{exec: [b], expect: deny}]\n");
  ASSERT_EQ(profile.tests.size(), 2U);
  EXPECT_EQ(profile.tests[0].exec[0], "a");
}

TEST(MergeTest, ListsUniteAndKeepTheNearestOrigin) {
  const Profile profile = LoadChain(
      "filesystem: {read: [/a], write: [/w], hide: [x], protect: [p]}\nrequire: [userns]\n"
      "environment: {pass: [A], set: {A: own}}\n",
      "filesystem: {read: [/b, /a], write: [/v], hide: [y], protect: [q]}\nrequire: [netns]\n"
      "environment: {pass: [B], set: {A: base, B: base}}\n");
  EXPECT_THAT(Values(profile.filesystem.read), ElementsAre("/a", "/b"));
  EXPECT_EQ(profile.filesystem.read[0].at.file, "p.yaml");
  EXPECT_THAT(Values(profile.filesystem.write), ElementsAre("/w", "/v"));
  EXPECT_EQ(profile.filesystem.hide.size(), 2U);
  EXPECT_EQ(profile.filesystem.protect.size(), 2U);
  EXPECT_THAT(Values(profile.require), ElementsAre("userns", "netns"));
  EXPECT_THAT(Values(profile.environment_pass), ElementsAre("A", "B"));
  EXPECT_EQ(profile.environment_set.at("A").value, "own");
  EXPECT_EQ(profile.environment_set.at("B").value, "base");
}

TEST(MergeTest, DomainsOfSplitDnsUniteAndTheNearestOfEachWins) {
  const Profile profile =
      LoadChain("network: {dns: {split: {a.example: 192.0.2.1}}}\n",
                "network: {dns: {split: {A.example: 192.0.2.2, b.example: 192.0.2.3}}}\n");
  EXPECT_THAT(profile.dns_split.at("a.example").value, ElementsAre("192.0.2.1"));
  EXPECT_EQ(profile.dns_split.at("a.example").at.file, "p.yaml");
  EXPECT_THAT(profile.dns_split.at("b.example").value, ElementsAre("192.0.2.3"));
}

TEST(MergeTest, ADomainOfSplitDnsStandsOnce) {
  EXPECT_THAT(ProblemsOf("network: {dns: {split: {a.example: '::1', A.example: '::1'}}}\n"),
              HasSubstr("a second domain 'a.example'; expected each domain once"));
  EXPECT_THAT(ProblemsOf("network: {dns: {split: {a.example: [system, '::1']}}}\n"),
              HasSubstr("'system' beside addresses"));
}

TEST(MergeTest, OfOneNameTheNearestWins) {
  const Profile profile = LoadChain(
      "tools: [{name: t, image: own}]\nsecrets: [{name: S, from: 'env:OWN'}]\n"
      "network: {groups: {g: [own.example]}}\n",
      "tools: [{name: t, image: base}, {name: u}]\nsecrets: [{name: S, from: 'env:BASE'}]\n"
      "network: {groups: {g: [base.example], h: [h.example]}}\n");
  ASSERT_EQ(profile.tools.size(), 2U);
  EXPECT_EQ(profile.tools[0].ghost.image, "own");
  ASSERT_EQ(profile.secrets.size(), 1U);
  EXPECT_EQ(profile.secrets[0].from, "env:OWN");
  EXPECT_THAT(profile.network_groups.at("g"), ElementsAre("own.example"));
  EXPECT_THAT(profile.network_groups.at("h"), ElementsAre("h.example"));
}

TEST(MergeTest, OfEveryOtherValueTheNearestWins) {
  const Profile profile = LoadChain(
      "commands: {default: deny}\nfilesystem: {noexec: []}\npath: [/own]\n"
      "network: {publish: []}\nlimits: {files: 100}\n",
      "commands: {default: allow}\nfilesystem: {noexec: [/tmp], tmp: 1G}\npath: [/base]\n"
      "network: {publish: [80]}\nlimits: {files: 200, processes: 5}\n");
  EXPECT_EQ(profile.command_default.value, Action::kDeny);
  EXPECT_EQ(profile.command_default.at.file, "p.yaml");
  EXPECT_THAT(profile.filesystem.noexec, IsEmpty());
  EXPECT_EQ(profile.filesystem.tmp_bytes.value, 1ULL << 30);
  EXPECT_EQ(profile.filesystem.tmp_bytes.layer, Layer::kInherited);
  EXPECT_THAT(Values(profile.path), ElementsAre("/own"));
  EXPECT_THAT(profile.publish, IsEmpty());
  EXPECT_EQ(profile.limits.files->value, 100U);
  EXPECT_EQ(profile.limits.processes->value, 5U);
}

TEST(MergeTest, NameIsTheProfilesOwn) {
  EXPECT_EQ(LoadChain("name: own\n", "name: base\n").name, "own");
  EXPECT_EQ(LoadWith(Layer::kWorkspace, "name: w\n", "name: own\n").name, "own");
  EXPECT_EQ(LoadWith(Layer::kFloor, "name: f\n", "name: own\n").name, "own");
}

TEST(MergeTest, CommandLineOverrides) {
  const Profile profile =
      LoadWith(Layer::kCommandLine, "limits: {time: 2h}\nfilesystem: {read: [/x]}\n",
               "limits: {time: 1h}\nfilesystem: {read: [/y], noexec: [/n]}\n");
  EXPECT_EQ(profile.limits.time->value, std::chrono::hours(2));
  EXPECT_THAT(Values(profile.filesystem.read), ElementsAre("/x", "/y"));
  EXPECT_THAT(Values(profile.filesystem.noexec), ElementsAre("/n"));
  EXPECT_EQ(profile.filesystem.tmp_bytes.value, 2ULL << 30);
}

TEST(FloorTest, BoundsEveryDefaultAndLimit) {
  const Profile profile = LoadWith(
      Layer::kFloor,
      "commands: {default: ask}\nnetwork: {default: deny}\nlimits: {files: 64, processes: 10}\n"
      "filesystem: {workspace: ro, tmp: 1G}\napprovals: {timeout: 10s, pending: 2}\n"
      "audit: {commands: all, arguments: redact, network: denied}\n",
      "commands: {default: allow}\nnetwork: {default: allow}\nlimits: {files: 128}\n"
      "filesystem: {workspace: overlay, tmp: 4G}\napprovals: {timeout: 1h, pending: 1}\n"
      "audit: {commands: none, arguments: full, network: all}\n");
  EXPECT_EQ(profile.command_default.value, Action::kAsk);
  EXPECT_EQ(profile.command_default.layer, Layer::kFloor);
  EXPECT_EQ(profile.network_default.value, Action::kDeny);
  EXPECT_EQ(profile.limits.files->value, 64U);
  EXPECT_EQ(profile.limits.processes->value, 10U);
  EXPECT_EQ(profile.filesystem.workspace.value, WorkspaceMode::kReadOnly);
  EXPECT_EQ(profile.filesystem.tmp_bytes.value, 1ULL << 30);
  EXPECT_EQ(profile.approval_timeout.value, std::chrono::seconds(10));
  EXPECT_EQ(profile.approvals_pending.value, 1U);
  EXPECT_EQ(profile.audit_commands.value, AuditLevel::kAll);
  EXPECT_TRUE(profile.audit_redact.value);
  EXPECT_EQ(profile.audit_network.value, AuditLevel::kAll);
}

TEST(FloorTest, CannotBeWidenedByTheCommandLine) {
  const Profile profile =
      Load({Body("limits: {time: 1h}\ncommands: {default: deny}\n", Layer::kFloor, "f"),
            Body("limits: {time: 9h}\ncommands: {default: allow}\n", Layer::kCommandLine, "c"),
            Body("name: x\n")});
  EXPECT_EQ(profile.limits.time->value, std::chrono::hours(1));
  EXPECT_EQ(profile.command_default.value, Action::kDeny);
}

TEST(FloorTest, BoundsWhatRulesAndToolsGiveToGhosts) {
  const std::string own =
      "limits: {processes: 10}\n"
      "commands: {rules: [{when: {exe: a}, then: allow, run: ghost, ghost: {limits: {processes: "
      "500, files: 40}}}, {when: {exe: b}, then: allow, run: ghost}]}\n"
      "tools: [{name: t, limits: {processes: 500, time: 1h}}]\n";
  const Profile profile = Load({Body("limits: {processes: 100, files: 64}\n", Layer::kFloor, "f"),
                                Body("limits: {time: 1m}\n", Layer::kWorkspace, "w"), Body(own)});
  const Limits& first = profile.command_rules.at(0).ghost->limits;
  EXPECT_EQ(profile.limits.processes->value, 10U);
  EXPECT_EQ(first.processes->value, 100U) << "more than the cell's, not more than the floor's";
  EXPECT_EQ(first.files->value, 40U);
  EXPECT_FALSE(first.time) << "not given: that of the cell counts";
  EXPECT_FALSE(profile.command_rules.at(1).ghost);
  EXPECT_EQ(profile.tools.at(0).ghost.limits.processes->value, 100U);
  EXPECT_EQ(profile.tools.at(0).ghost.limits.time->value, std::chrono::minutes(1));
}

TEST(FloorTest, LeavesStricterValuesAlone) {
  const Profile profile =
      LoadWith(Layer::kFloor, "commands: {default: allow}\n", "commands: {default: deny}\n");
  EXPECT_EQ(profile.command_default.value, Action::kDeny);
  EXPECT_EQ(profile.command_default.at.file, "p.yaml");
}

TEST(FloorTest, RestrictionsUniteWhateverTheProfileSays) {
  const Profile profile =
      LoadWith(Layer::kFloor,
               "filesystem: {hide: [/h], protect: [/p], noexec: [/n]}\nrequire: [landlock]\n"
               "environment: {drop: [X_*]}\n",
               "filesystem: {noexec: []}\nenvironment: {drop: []}\n");
  EXPECT_THAT(Values(profile.filesystem.hide), ElementsAre("/h"));
  EXPECT_THAT(Values(profile.filesystem.protect), ElementsAre("/p"));
  EXPECT_THAT(Values(profile.filesystem.noexec), ElementsAre("/n"));
  EXPECT_THAT(Values(profile.require), ElementsAre("landlock"));
  EXPECT_THAT(Values(profile.environment_drop), ElementsAre("X_*"));
}

TEST(FloorTest, GroupsOfTheFloorCannotBeRedefined) {
  const Profile profile = LoadWith(
      Layer::kFloor, "network: {groups: {bad: [bad.example]}, rules: [{to: '@bad', then: deny}]}\n",
      "network: {groups: {bad: [good.example]}}\n");
  EXPECT_THAT(profile.network_groups.at("bad"), ElementsAre("bad.example"));
}

TEST(FloorTest, TheStrictestOfSeveralFloorsHolds) {
  const Profile profile =
      Load({Body("limits: {files: 100}\n", Layer::kFloor, "f1"),
            Body("limits: {files: 50}\n", Layer::kFloor, "f2"),
            Body("limits: {files: 75}\n", Layer::kFloor, "f3"), Body("name: x\n")});
  EXPECT_EQ(profile.limits.files->value, 50U);
}

TEST(OverlayTest, Narrows) {
  const Profile profile =
      LoadWith(Layer::kWorkspace,
               "commands: {default: deny}\nlimits: {files: 100, time: 1h}\n"
               "filesystem: {workspace: ro, hide: [h], protect: [p], noexec: [/n], tmp: 1G}\n"
               "environment: {drop: [A]}\nrequire: [landlock]\n",
               "commands: {default: ask}\nlimits: {files: 200}\nfilesystem: {noexec: [/m]}\n");
  EXPECT_EQ(profile.command_default.value, Action::kDeny);
  EXPECT_EQ(profile.command_default.layer, Layer::kWorkspace);
  EXPECT_EQ(profile.limits.files->value, 100U);
  EXPECT_EQ(profile.limits.time->value, std::chrono::hours(1));
  EXPECT_EQ(profile.filesystem.workspace.value, WorkspaceMode::kReadOnly);
  EXPECT_THAT(Values(profile.filesystem.hide), ElementsAre("/home/ann/project/h"));
  EXPECT_THAT(Values(profile.filesystem.noexec), ElementsAre("/m", "/n"));
  EXPECT_THAT(Values(profile.environment_drop), ElementsAre("A"));
  EXPECT_THAT(Values(profile.require), ElementsAre("landlock"));
}

TEST(OverlayTest, SayingTheSameIsNotWider) {
  EXPECT_EQ(
      LoadWith(Layer::kWorkspace, "commands: {default: ask}\nfilesystem: {tmp: 2G}\n", "name: x\n")
          .command_default.value,
      Action::kAsk);
}

TEST(OverlayTest, CannotWiden) {
  const std::pair<const char*, const char*> cases[] = {
      {"commands: {default: allow}\n", "'commands.default: allow'"},
      {"network: {default: ask}\n", "'network.default: ask'"},
      {"filesystem: {workspace: rw}\n", "'filesystem.workspace: rw'"},
      {"filesystem: {workspace: snapshot}\n", "'filesystem.workspace: snapshot'"},
      {"filesystem: {tmp: 4G}\n", "'filesystem.tmp: 4294967296'"},
      {"limits: {files: 300}\n", "'limits.files: 300'"},
      {"limits: {time: 2h}\n", "'limits.time: 2h'"},
      {"approvals: {timeout: 1h}\n", "'approvals.timeout: 1h'"},
      {"approvals: {pending: 100}\n", "'approvals.pending: 100'"},
      {"audit: {commands: none}\n", "'audit.commands: none'"},
      {"audit: {network: denied}\n", "'audit.network: denied'"},
      {"audit: {arguments: full}\n", "'audit.arguments: full'"},
  };
  for (const auto& [overlay, key] : cases) {
    const std::string problems =
        ProblemsOf({Body(overlay, Layer::kWorkspace, "w"),
                    Body("limits: {files: 200, time: 1h}\nfilesystem: {workspace: overlay}\n")});
    EXPECT_THAT(problems, HasSubstr(key)) << overlay;
    EXPECT_THAT(problems, HasSubstr("cellrun trust")) << overlay;
  }
}

TEST(OverlayTest, IsComparedWithTheProfileNotWithTheCommandLine) {
  const Profile profile =
      Load({Body("limits: {time: 1h}\n", Layer::kCommandLine, "c"),
            Body("limits: {time: 8h}\n", Layer::kWorkspace, "w"), Body("limits: {time: 10h}\n")});
  EXPECT_EQ(profile.limits.time->value, std::chrono::hours(1));
}

TEST(OverlayTest, RestrictionsSurviveTheCommandLine) {
  const Profile profile =
      Load({Body("filesystem: {noexec: []}\n", Layer::kCommandLine, "c"),
            Body("filesystem: {noexec: [/n]}\n", Layer::kWorkspace, "w"), Body("name: x\n")});
  EXPECT_THAT(Values(profile.filesystem.noexec), ElementsAre("/n"));
}

}  // namespace
}  // namespace cellrun::policy
