// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>

#include "lib/policy/profile_test.h"

namespace cellrun::policy {
namespace {

using Strings = std::vector<std::string>;

const Places kPlaces{.home = "/home/u", .workspace = "/home/u/project"};

class ProfileRunnerTest : public testing::Test {
 protected:
  ProfileRunnerTest() {
    for (const char* directory : {"/usr/local/bin", "/usr/bin"}) {
      profile_.path.push_back({.value = directory, .at = {}, .layer = Layer::kProfile});
    }
    profile_.command_default.value = Action::kDeny;
    profile_.network_default.value = Action::kDeny;
  }

  void Allow(When when, const std::string& name, const Position& at = {"p.yaml", 10, 5}) {
    CommandRule rule;
    rule.name = name;
    rule.when = std::move(when);
    rule.then = Action::kAllow;
    rule.at = at;
    profile_.command_rules.push_back(rule);
  }
  void File(const std::string& path, const std::string& head = "", const std::string& real = "") {
    const std::string canonical = real.empty() ? path : real;
    files_[path] = {.file = {.id = {1, 100 + files_.size()}, .canonical = canonical}, .head = head};
  }
  TestOutcome Run(TestCase test) {
    profile_.tests = {std::move(test)};
    const auto outcomes = RunProfileTests(
        profile_, kPlaces, [this](const std::string& path) -> std::optional<ProgramFacts> {
          const auto found = files_.find(path);
          if (found == files_.end()) return std::nullopt;
          return found->second;
        });
    EXPECT_TRUE(outcomes.ok());
    return outcomes.ok() ? outcomes.value().front() : TestOutcome{};
  }
  Action Exec(Strings command) {
    TestCase test;
    test.exec = std::move(command);
    return Run(test).got;
  }

  Profile profile_;
  std::map<std::string, ProgramFacts> files_;
};

TEST_F(ProfileRunnerTest, RulesByNameHoldForProgramsThatThisMachineDoesNotHave) {
  Allow({.exe = {"terraform"}}, "tf");
  EXPECT_EQ(Exec({"terraform", "plan"}), Action::kAllow);
  EXPECT_EQ(Exec({"/usr/bin/terraform"}), Action::kAllow);
  EXPECT_EQ(Exec({"./terraform"}), Action::kDeny);
  EXPECT_EQ(Exec({"tofu"}), Action::kDeny);
}

TEST_F(ProfileRunnerTest, RealFilesAreTakenAsTheyAre) {
  File("/usr/bin/cc", "", "/usr/bin/gcc-12");
  Allow({.exe = {"/usr/bin/gcc-*"}}, "gcc");
  EXPECT_EQ(Exec({"cc"}), Action::kAllow);
}

TEST_F(ProfileRunnerTest, TheWholeChainOfAScriptIsJudged) {
  File("/home/u/project/run", "#! /usr/bin/env -S python3 -u\nprint()\n");
  Allow({.script = {"./run"}}, "script");
  EXPECT_EQ(Exec({"./run"}), Action::kDeny);
  Allow({.exe = {"env"}}, "env");
  EXPECT_EQ(Exec({"./run"}), Action::kAllow);
}

TEST_F(ProfileRunnerTest, ScriptsThatNameEachOtherEnd) {
  File("/home/u/project/a", "#!/home/u/project/b\n");
  File("/home/u/project/b", "#!/home/u/project/a\n");
  Allow({.exe = {"./**"}}, "all");
  EXPECT_EQ(Exec({"./a"}), Action::kAllow);
}

TEST_F(ProfileRunnerTest, WritableFollowsFromThePlaceUnlessTheTestSaysSo) {
  Allow({.writable = true}, "written");
  EXPECT_EQ(Exec({"./x"}), Action::kAllow);
  EXPECT_EQ(Exec({"/tmp/x"}), Action::kAllow);
  EXPECT_EQ(Exec({"~/x"}), Action::kAllow);
  EXPECT_EQ(Exec({"/usr/bin/x"}), Action::kDeny);
  EXPECT_EQ(Exec({"/tmpx/x"}), Action::kDeny);
  TestCase test;
  test.exec = {"/usr/bin/x"};
  test.writable = true;
  EXPECT_EQ(Run(test).got, Action::kAllow);
  profile_.filesystem.protect.push_back(
      {.value = ".git/hooks", .at = {}, .layer = Layer::kProfile});
  EXPECT_EQ(Exec({"./.git/hooks/pre-commit"}), Action::kDeny);
  profile_.filesystem.workspace.value = WorkspaceMode::kReadOnly;
  EXPECT_EQ(Exec({"./x"}), Action::kDeny);
}

TEST_F(ProfileRunnerTest, RelativeNamesStartWhereTheTestSays) {
  Allow({.exe = {"./sub/tool"}, .cwd = {"./sub"}}, "tool");
  TestCase test;
  test.exec = {"./tool"};
  test.cwd = "./sub";
  EXPECT_EQ(Run(test).got, Action::kAllow);
  test.cwd = "";
  EXPECT_EQ(Run(test).got, Action::kDeny);
}

TEST_F(ProfileRunnerTest, RuleIsComparedByNameOrByPlace) {
  Allow({.exe = {"x"}}, "mine", {"/etc/cellrun/profiles/p.yaml", 10, 5});
  TestCase test;
  test.exec = {"x"};
  test.expect = Action::kAllow;
  for (const char* rule : {"", "mine", "p.yaml:10", "/etc/cellrun/profiles/p.yaml:10"}) {
    test.rule = rule;
    EXPECT_TRUE(Run(test).passed) << rule;
  }
  for (const char* rule : {"other", "p.yaml:1", "p.yaml:11", "xp.yaml:10", "default"}) {
    test.rule = rule;
    EXPECT_FALSE(Run(test).passed) << rule;
  }
}

TEST_F(ProfileRunnerTest, FailureSaysWhatWasExpectedAndWhatDecided) {
  Allow({.exe = {"git"}}, "all git");
  TestCase test;
  test.exec = {"git", "push", "a b"};
  test.expect = Action::kAsk;
  test.at = {"p.yaml", 40, 5};
  EXPECT_EQ(Run(test).ToString(),
            "p.yaml:40:5: git push \"a b\": expected ask, got allow by 'all git' (p.yaml:10:5)");
}

TEST_F(ProfileRunnerTest, InheritedTestMayBeOverriddenOnlyByANearerDocument) {
  profile_.documents = {{"mine.yaml", 1, 1}, {"base.yaml", 1, 1}};
  TestCase test;
  test.exec = {"sudo"};
  test.expect = Action::kDeny;
  test.at = {"base.yaml", 40, 5};
  Allow({.exe = {"sudo"}}, "mine", {"mine.yaml", 3, 3});
  EXPECT_TRUE(Run(test).overridden);
  profile_.command_rules[0].at.file = "base.yaml";
  EXPECT_FALSE(Run(test).passed);
  test.at.file = "mine.yaml";
  profile_.command_rules[0].at.file = "mine.yaml";
  EXPECT_FALSE(Run(test).passed);
}

TEST_F(ProfileRunnerTest, ConnectionsAreJudgedByTheNetworkRules) {
  NetworkRule rule;
  rule.to = {"*.example.com"};
  rule.then = Action::kAsk;
  rule.name = "examples";
  profile_.network_rules.push_back(rule);
  TestCase test;
  test.connect = "www.example.com:443";
  test.expect = Action::kAsk;
  test.rule = "examples";
  EXPECT_TRUE(Run(test).passed);
  test.connect = "nowhere";
  EXPECT_EQ(Run(test).got, Action::kDeny);
}

TEST(InterpreterArgvTest, IsWhatTheKernelMakes) {
  const std::vector<std::string> argv = {"x", "a", "b"};
  EXPECT_EQ(InterpreterArgv("#!/bin/sh\n", "./s", argv),
            (std::vector<std::string>{"/bin/sh", "./s", "a", "b"}));
  EXPECT_EQ(InterpreterArgv("#! /bin/env  -S a b \t\nrest", "./s", {"x"}),
            (std::vector<std::string>{"/bin/env", "-S a b", "./s"}));
}
TEST(ReadInterpreterTest, ReadsWhatTheKernelReads) {
  EXPECT_EQ(ReadInterpreter("#!/bin/sh\n"), "/bin/sh");
  EXPECT_EQ(ReadInterpreter("#! \t/bin/sh -e\nrest"), "/bin/sh");
  EXPECT_EQ(ReadInterpreter("#!/bin/sh"), "/bin/sh");
  EXPECT_EQ(ReadInterpreter("#!\n/bin/sh"), std::nullopt);
  EXPECT_EQ(ReadInterpreter("#!   "), std::nullopt);
  EXPECT_EQ(ReadInterpreter("\x7f"
                            "ELF"),
            std::nullopt);
  EXPECT_EQ(ReadInterpreter(""), std::nullopt);
  EXPECT_EQ(ReadInterpreter(std::string("#!/bin/sh\0x", 11)), "/bin/sh");
}

}  // namespace
}  // namespace cellrun::policy
