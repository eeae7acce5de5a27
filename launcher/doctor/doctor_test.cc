// SPDX-License-Identifier: Apache-2.0
#include "launcher/doctor/doctor.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "launcher/doctor/child.h"
#include "launcher/doctor/stage.h"
#include "lib/base/check.h"
#include "lib/sys/file.h"
#include "lib/sys/process.h"
#include "tests/support/required.h"

namespace cellrun::doctor {
namespace {

using nlohmann::json;

TEST(InChildTest, KeepsWhatTheChildDoesToItself) {
  const auto reply = InChild([]() -> Reply {
    CHECK(chdir("/") == 0);
    close(STDIN_FILENO);
    return {.code = 7, .text = "said"};
  });
  ASSERT_TRUE(reply.ok());
  EXPECT_EQ(reply->code, 7);
  EXPECT_EQ(reply->text, "said");
}

TEST(InChildTest, EndsAChildThatDoesNotAnswer) {
  const auto reply = InChild(
      []() -> Reply {
        pause();
        return {};
      },
      std::chrono::milliseconds(100));
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().code(), ETIMEDOUT);
}

TEST(InChildTest, SaysWhichSignalKilledTheChild) {
  const auto reply = InChild([]() -> Reply {
    raise(SIGKILL);
    return {};
  });
  ASSERT_FALSE(reply.ok());
  EXPECT_EQ(reply.error().context(), "signal 9");
}

TEST(InChildTest, LeavesNoChild) {
  (void)InChild([] { return Reply{}; });
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(ProbeTest, EveryFeatureSaysWhatItsAbsenceCosts) {
  for (const auto& group : {NamespaceProbes(), MountProbes(), SupervisionProbes(),
                            ConfinementProbes(), ResourceProbes(), InstallationProbes()}) {
    for (const Probe& probe : group) {
      EXPECT_GT(std::string_view(probe.cost).size(), 10U) << probe.name;
    }
  }
}

TEST(ProbeTest, WhatAFeatureNeedsIsLookedAtBeforeAndNeededNoLess) {
  std::map<std::string, Need> before;
  for (const auto& group : {NamespaceProbes(), MountProbes(), SupervisionProbes(),
                            ConfinementProbes(), ResourceProbes(), InstallationProbes()}) {
    for (const Probe& probe : group) {
      if (*probe.needs != '\0') {
        ASSERT_TRUE(before.contains(probe.needs)) << probe.name;
        EXPECT_LE(before[probe.needs], probe.need) << probe.name;
      }
      before[probe.name] = probe.need;
    }
  }
}

TEST(ProbeTest, AdvisesNothingAboutAFeatureWhoseNeedIsMissing) {
  const Probe probe{"kernel", "b", Need::kRequired, "cost", "fix", [] { return Missing("EPERM"); },
                    "a"};
  Finding need;
  need.name = "a";
  need.state = State::kPresent;
  EXPECT_EQ(LookAt(probe, {need}).fix, "fix");
  need.state = State::kMissing;
  const Finding finding = LookAt(probe, {need});
  EXPECT_EQ(finding.state, State::kUnknown);
  EXPECT_EQ(finding.detail, "needs a");
  EXPECT_EQ(finding.fix + finding.cost, "");
}

TEST(ProbeTest, LookingChangesNothingOfTheProcess) {
  const auto namespace_of = [](const char* name) {
    return sys::ReadLinkAt(AT_FDCWD, (std::string("/proc/self/ns/") + name).c_str()).value();
  };
  const std::string user = namespace_of("user");
  const std::string mount = namespace_of("mnt");
  const std::vector<Finding> findings = LookAtEverything();
  EXPECT_EQ(namespace_of("user"), user);
  EXPECT_EQ(namespace_of("mnt"), mount);
  EXPECT_GT(findings.size(), 25U);
  std::set<std::string> names;
  for (const Finding& finding : findings) {
    EXPECT_TRUE(names.insert(finding.name).second) << finding.name;
    EXPECT_EQ(finding.state == State::kMissing, !finding.cost.empty()) << finding.name;
  }
}

// An older kernel on this one: `number` answers ENOSYS in the child and its children.
void PretendMissing(unsigned number) {
  const std::array program = {
      sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
      sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, number},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | ENOSYS},
      sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  };
  sock_fprog filter{.len = program.size(), .filter = const_cast<sock_filter*>(program.data())};
  CHECK(sys::NoNewPrivileges().ok());
  CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

struct OldKernel {
  const char* name;
  unsigned number;
  const char* feature;
};

class OldKernelTest : public testing::TestWithParam<OldKernel> {};

TEST_P(OldKernelTest, IsNoticedByCalling) {
  const auto reply = InChild([]() -> Reply {
    PretendMissing(GetParam().number);
    for (const Finding& finding : LookAtEverything()) {
      if (finding.name != GetParam().feature) continue;
      return {.code = finding.state == State::kMissing ? 1 : 0, .text = finding.detail};
    }
    return {.code = 2, .text = "there is no such feature"};
  });
  ASSERT_TRUE(reply.ok()) << reply.error().ToString();
  EXPECT_EQ(reply->code, 1) << reply->text;
}

INSTANTIATE_TEST_SUITE_P(
    Calls, OldKernelTest,
    testing::Values(OldKernel{"Openat2", SYS_openat2, "openat2"},
                    OldKernel{"Clone3", SYS_clone3, "user namespaces"},
                    OldKernel{"CloseRange", SYS_close_range, "close_range"},
                    OldKernel{"OpenTree", SYS_open_tree, "new mount API"},
                    OldKernel{"Fsopen", SYS_fsopen, "new mount API"},
                    OldKernel{"Landlock", SYS_landlock_create_ruleset, "Landlock"},
                    OldKernel{"Keyctl", SYS_keyctl, "session keyring of its own"},
                    OldKernel{"PidfdGetfd", SYS_pidfd_getfd, "pidfd_getfd"},
                    OldKernel{"Ptrace", SYS_ptrace, "tracing a task of a cell"},
                    OldKernel{"Memory", SYS_process_vm_readv, "reading a task's memory"},
                    OldKernel{"Seccomp", SYS_seccomp, "seccomp notification with descriptors"},
                    OldKernel{"Memfd", SYS_memfd_create, "sealed memory files"}),
    [](const auto& row) { return row.param.name; });

TEST(ToJsonTest, HasTheDocumentedFields) {
  Finding finding;
  finding.name = "x";
  SelfTest test;
  test.attacks.push_back({"a", "do a", Outcome::kHeld, ""});
  const json document = ToJson({finding}, &test);
  for (const char* key : {"cellrun", "build", "ok", "features", "self_test"}) {
    EXPECT_TRUE(document.contains(key)) << key;
  }
  for (const char* key : {"group", "name", "need", "state", "detail", "cost", "fix"}) {
    EXPECT_TRUE(document["features"][0][key].is_string()) << key;
  }
  EXPECT_EQ(document["self_test"]["attacks"][0]["outcome"], "held");
  EXPECT_EQ(document["self_test"]["ran"], true);
  EXPECT_TRUE(ToJson({}, nullptr)["self_test"].is_null());
}

TEST(IsSoundTest, FailsForWhatIsRequiredAndForWhatBroke) {
  Finding missing;
  missing.state = State::kMissing;
  missing.need = Need::kRecommended;
  EXPECT_TRUE(IsSound({missing}, nullptr));
  missing.need = Need::kRequired;
  EXPECT_FALSE(IsSound({missing}, nullptr));
  SelfTest test;
  EXPECT_TRUE(IsSound({}, &test));
  test.attacks.push_back({"a", "", Outcome::kNotTried, ""});
  EXPECT_TRUE(IsSound({}, &test));
  test.attacks.push_back({"b", "", Outcome::kBroken, ""});
  EXPECT_FALSE(IsSound({}, &test));
  SelfTest stopped;
  stopped.problem = "exit status 125";
  EXPECT_FALSE(IsSound({}, &stopped));
}

// A check that cannot fail proves nothing: without a cell these attacks must succeed.
class AttackTest : public testing::Test {
 protected:
  static AttackResult Outside(const std::string& name, const AttackPlan& plan) {
    for (const Attack& attack : AllAttacks()) {
      if (attack.name != name) continue;
      const auto reply = InChild([&]() -> Reply {
        const AttackResult result = attack.run(plan);
        return {.code = static_cast<int>(result.outcome), .text = result.detail};
      });
      if (!reply.ok()) return {Outcome::kNotTried, reply.error().ToString()};
      return {static_cast<Outcome>(reply->code), reply->text};
    }
    return {Outcome::kNotTried, "there is no such attack"};
  }
};

TEST_F(AttackTest, SucceedsWithoutACell) {
  auto stage = Stage::Build();
  ASSERT_TRUE(stage.ok()) << stage.error().ToString();
  AttackPlan plan = stage->plan();
  plan.scratch = plan.workspace;  // goes with the stage
  for (const char* name :
       {"read-outside", "read-broker-files", "write-git-hook", "see-host-processes", "trace",
        "reach-host", "reach-abstract-socket", "run-copy", "run-memory-file", "run-deleted-file",
        "run-script", "run-copy-by-loader", "new-user-namespace", "clone-user-namespace",
        "forbidden-calls"}) {
    const AttackResult result = Outside(name, plan);
    EXPECT_EQ(result.outcome, Outcome::kBroken) << name << ": " << result.detail;
  }
}

TEST_F(AttackTest, SucceedsForRootWithoutACell) {
  REQUIRE_OR_SKIP(geteuid() == 0, "root");
  auto stage = Stage::Build();
  ASSERT_TRUE(stage.ok()) << stage.error().ToString();
  for (const char* name : {"become-root", "hold-capabilities", "raw-socket"}) {
    const AttackResult result = Outside(name, stage->plan());
    EXPECT_EQ(result.outcome, Outcome::kBroken) << name << ": " << result.detail;
  }
}

TEST_F(AttackTest, FindsALeakedVariableAndDescriptor) {
  AttackPlan plan;
  plan.secret = "cellrun-decoy-0123";
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  ASSERT_EQ(setenv("LEAKED", plan.secret.c_str(), 1), 0);
  EXPECT_EQ(Outside("inherit-environment", plan).outcome, Outcome::kBroken);
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  ASSERT_EQ(unsetenv("LEAKED"), 0);
  const UniqueFd leaked(open("/", O_PATH | O_CLOEXEC));
  EXPECT_EQ(Outside("inherit-descriptors", plan).outcome, Outcome::kBroken);
}

TEST_F(AttackTest, RefusesToAttackOutsideOfACell) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  ASSERT_EQ(unsetenv("CELLRUN_CELL"), 0);
  EXPECT_EQ(AttackFromInside("/nonexistent"), 2);
}

TEST(AttackPlanTest, SurvivesTheWayIntoTheCell) {
  AttackPlan plan;
  plan.secret = "s";
  plan.decoy_file = "/tmp/x y\"";
  plan.tcp_port = 65535;
  const auto read = DecodeAttackPlan(Encode(plan));
  ASSERT_TRUE(read.ok()) << read.error().ToString();
  EXPECT_EQ(read->decoy_file, plan.decoy_file);
  EXPECT_EQ(read->tcp_port, 65535);
  EXPECT_FALSE(DecodeAttackPlan("{}").ok());
  EXPECT_FALSE(DecodeAttackPlan("").ok());
}

TEST(StageTest, LeavesNothingBehind) {
  std::string file;
  {
    auto stage = Stage::Build();
    ASSERT_TRUE(stage.ok()) << stage.error().ToString();
    file = stage->plan().decoy_file;
    EXPECT_EQ(access(file.c_str(), F_OK), 0);
  }
  EXPECT_NE(access(file.c_str(), F_OK), 0);
  EXPECT_NE(access(file.substr(0, file.rfind('/')).c_str(), F_OK), 0);
}

}  // namespace
}  // namespace cellrun::doctor
