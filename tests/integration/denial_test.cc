// SPDX-License-Identifier: Apache-2.0
// Each kind of denial as the program sees it: message, errno, exit status, and the record for
// programs.
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/support/moment.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class DenialTest : public Sandbox {
 protected:
  // A profile of these rules, and the probe readable inside.
  Options With(const std::string& rules, const std::string& fallback = "allow") {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: tested\nextends: [base]\ncommands:\n  default: " + fallback +
                "\n  rules:\n" + rules),
            .flags = ProbeFlags()};
  }
  static std::string ProbeRule() {
    return "    - {name: probe, when: {exe: '" + Probe() + "'}, then: allow}\n";
  }
};

constexpr char kNoId[] =
    "    - name: no-id\n"
    "      when: {exe: id}\n"
    "      then: deny\n"
    "      message: nobody asks who they are\n"
    "      suggest: read `whoami` in the manual\n";
constexpr char kShells[] =
    "    - {name: shells, when: {exe: [bash, sh, cat, cp, echo]}, then: allow}\n";

TEST_F(DenialTest, IsExplainedOnStandardErrorWithStatus126) {
  const Outcome outcome = Shell("id; echo status=$?", With(kNoId));
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "status=126\n") << "nothing of the denied program ran";
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("cellrun: denied: id"), HasSubstr("no-id"),
                                 HasSubstr("nobody asks who they are"),
                                 HasSubstr("instead: read `whoami` in the manual")));
  const auto lines = std::count(outcome.err.begin(), outcome.err.end(), '\n');
  EXPECT_LE(lines, 4) << outcome.err;
}

// Nobody changes anything, and the cell goes on under the rules below it.
TEST_F(DenialTest, ARuleThatExpiresStopsApplyingInARunningCell) {
  const std::time_t then = std::time(nullptr) + 6;
  const Outcome outcome = Shell(
      "tac /dev/null && date +%s; while tac /dev/null; do sleep 0.05; done; date +%s",
      With("    - {name: for-now, when: {exe: tac}, then: allow, expires: \"" + MomentText(then) +
           "\"}\n"
           "    - {name: later, when: {exe: tac}, then: deny, message: the time is over}\n"));
  EXPECT_EQ(outcome.status, 0) << outcome;
  std::istringstream times(outcome.out);
  std::time_t ran = 0, denied = 0;
  times >> ran >> denied;
  ASSERT_LT(ran, then) << outcome << "the cell took too long to start";
  EXPECT_GT(ran, 0) << outcome;
  EXPECT_GE(denied, then) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("the time is over"));
  std::set<std::string> verdicts;
  for (const nlohmann::json& record : History({"--kind", "exec"})) {
    if (record.value("exe", "").ends_with("/tac")) {
      verdicts.insert(record.value("verdict", "") + " by " + record["rule"].value("name", ""));
    }
  }
  EXPECT_THAT(verdicts, testing::ElementsAre("allow by for-now", "deny by later"));
}

TEST_F(DenialTest, OfTheFirstCommandIsStatus126OfCellrun) {
  const Outcome outcome = Run({"id"}, With(kNoId));
  EXPECT_EQ(outcome.status, 126) << outcome;
  EXPECT_EQ(outcome.out, "");
  EXPECT_THAT(outcome.err, HasSubstr("cellrun: denied: id"));
}

TEST_F(DenialTest, ShowsArgumentsWithTheirBoundariesAndNothingThatActs) {
  const Outcome outcome = Run({"id", "a b", "c\x1b[2Jd\xe2\x80\xae", "\n"}, With(kNoId));
  EXPECT_EQ(outcome.status, 126);
  EXPECT_THAT(outcome.err, HasSubstr("\"a b\""));
  EXPECT_THAT(outcome.err, Not(HasSubstr("\x1b")));
  EXPECT_THAT(outcome.err, HasSubstr("\\u{1b}"));
  EXPECT_THAT(outcome.err, HasSubstr("\\u{202e}"));
}

TEST_F(DenialTest, WithAnErrnoFailsTheCallAndStartsNothing) {
  const Outcome outcome =
      Run({Probe(), "exec", "/usr/bin/id"},
          With("    - {name: quiet, when: {exe: id}, then: deny, errno: EACCES}\n"));
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.out, "EACCES\n");
  EXPECT_EQ(outcome.err, "");
}

TEST_F(DenialTest, ByDefaultNamesTheDefault) {
  const Outcome outcome = Shell("id; echo status=$?", With(kShells, "deny"));
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("cellrun: denied: id"), HasSubstr("default")));
}

TEST_F(DenialTest, OfAnAskSaysThatNobodyCanApprove) {
  const Outcome outcome =
      Shell("id; echo status=$?",
            With("    - {name: risky, when: {exe: id}, then: ask, reason: risky, timeout: 0s}\n"));
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("cellrun: denied: id"), HasSubstr("no approver")));
}

TEST_F(DenialTest, OfAWritableImageHoldsForACopyAndNotForTheOriginal) {
  const Outcome outcome =
      Shell("cat /dev/null && cp /usr/bin/cat mine && ./mine /dev/null; echo status=$?",
            With("    - {name: own-images, when: {writable: true}, then: deny}\n"));
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("own-images"));
}

TEST_F(DenialTest, ByDefaultHoldsForACopyUnderAnAllowedName) {
  // A file called `cat` in the workspace is not the program that the rule names.
  const Outcome outcome =
      Shell("cp /usr/bin/id cat && PATH=.:$PATH cat; ./cat; echo status=$?", With(kShells, "deny"));
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
}

TEST_F(DenialTest, OfArgumentsLetsOthersRun) {
  const Options options =
      With("    - {name: publishes, when: {exe: git, args: [push, \"**\"]}, then: deny}\n");
  const Outcome outcome = Shell("git --version && git push origin main; echo status=$?", options);
  EXPECT_THAT(outcome.out, HasSubstr("git version")) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("status=126\n"));
  EXPECT_THAT(outcome.err, HasSubstr("cellrun: denied: git push origin main"));
}

TEST_F(DenialTest, IsARecordForPrograms) {
  const Outcome outcome = Shell("id 2>/dev/null; cat \"$CELLRUN_DENIALS\"", With(kNoId));
  EXPECT_EQ(outcome.status, 0) << outcome;
  std::istringstream lines(outcome.out);
  std::string line;
  ASSERT_TRUE(std::getline(lines, line)) << outcome;
  const auto record = nlohmann::json::parse(line, nullptr, false);
  ASSERT_TRUE(record.is_object()) << line;
  EXPECT_EQ(record.value("verdict", ""), "deny");
  EXPECT_EQ(record.value("kind", ""), "exec");
  EXPECT_EQ(record["rule"].value("name", ""), "no-id");
  EXPECT_EQ(record["argv"], nlohmann::json::array({"id"}));
  EXPECT_FALSE(std::getline(lines, line)) << "one denial, one line: " << line;
}

TEST_F(DenialTest, RecordsCannotBeForgedOrErasedInside) {
  const Outcome outcome = Shell(
      "id 2>/dev/null; : > \"$CELLRUN_DENIALS\"; rm -f \"$CELLRUN_DENIALS\"; "
      "echo '{}' >> \"$CELLRUN_DENIALS\"; cat \"$CELLRUN_DENIALS\" | wc -l",
      With(kNoId));
  EXPECT_EQ(outcome.out, "1\n") << outcome;
}

TEST_F(DenialTest, IsNotHowAMissingNameFails) {
  Write(Work("plain"), "not a program\n", 0644);
  Write(Work("text"), "no interpreter line\n", 0755);
  ASSERT_EQ(symlink("loop", Work("loop").c_str()), 0);
  const Options options = With(ProbeRule(), "deny");
  const std::map<std::string, std::string> expected = {{"/usr/bin/no-such-program", "ENOENT\n"},
                                                       {"/usr/bin", "EACCES\n"},
                                                       {Work("plain"), "EACCES\n"},
                                                       {Work("loop"), "ELOOP\n"},
                                                       {"/usr/bin/env/x", "ENOTDIR\n"},
                                                       {std::string(5000, 'a'), "ENAMETOOLONG\n"},
                                                       {"", "ENOENT\n"}};
  for (const auto& [name, result] : expected) {
    const Outcome outcome = Run({Probe(), "exec", name}, options);
    EXPECT_EQ(outcome.out, result) << name.substr(0, 40) << ": " << outcome;
    EXPECT_EQ(outcome.err, "") << "a name that leads nowhere is no denial";
  }
  EXPECT_EQ(Run({Probe(), "exec", Work("text")}, With("    []\n")).out, "ENOEXEC\n");
}

TEST_F(DenialTest, OfAScriptHoldsThoughItsInterpreterIsAllowed) {
  Write(Work("first"), "#!/bin/bash\necho first\n", 0755);
  Write(Work("second"), "#!" + Work("first") + "\n", 0755);
  const Options closed = With(kShells, "deny");
  EXPECT_EQ(Shell("./first; echo status=$?", closed).out, "status=126\n");
  EXPECT_EQ(Shell("./second; echo status=$?", closed).out, "status=126\n");

  const Options first = With(
      std::string(kShells) + "    - {name: first, when: {script: ./first}, then: allow}\n", "deny");
  EXPECT_EQ(Shell("./first; echo status=$?", first).out, "first\nstatus=0\n");
  EXPECT_EQ(Shell("./second; echo status=$?", first).out, "status=126\n")
      << "the strictest link of the chain counts";
}

TEST_F(DenialTest, OfAnInterpreterHoldsForItsScripts) {
  Write(Work("script"), "#!/usr/bin/python3\nprint('ran')\n", 0755);
  const Outcome outcome =
      Shell("./script; echo status=$?",
            With("    - {name: no-python, when: {exe: python3}, then: deny}\n"));
  EXPECT_EQ(outcome.out, "status=126\n") << outcome;
}

TEST_F(DenialTest, SeesThroughTheDynamicLoader) {
  const Options options = With(kNoId);
  const std::string loader = "/lib64/ld-linux-x86-64.so.2";
  EXPECT_EQ(Bare({loader, "/usr/bin/id", "-u"}).status, 0) << "the attack works outside";
  EXPECT_EQ(Run({loader, "/usr/bin/id", "-u"}, options).status, 126);
  EXPECT_EQ(Run({loader, "--argv0", "x", "/usr/bin/id", "-u"}, options).status, 126);
  EXPECT_EQ(Run({loader, "/usr/bin/true"}, options).status, 0);
}

TEST_F(DenialTest, HoldsForImagesWithoutAName) {
  ASSERT_EQ(Bare({Probe(), "exec-memory", "/usr/bin/true"}).status, 0);
  ASSERT_EQ(Bare({Probe(), "exec-memory", "/usr/bin/true"}).out, "") << "the attack works outside";
  ASSERT_EQ(Bare({Probe(), "exec-deleted", "/usr/bin/true"}).out, "");
  const Options options = With("    []\n");
  const Outcome memory = Run({Probe(), "exec-memory", "/usr/bin/true"}, options);
  EXPECT_EQ(memory.status, 126) << memory;
  const Outcome deleted = Run({Probe(), "exec-deleted", "/usr/bin/true"}, options);
  EXPECT_EQ(deleted.status, 126) << deleted;
  const Options named = With("    - {name: memory, when: {anonymous: true}, then: allow}\n");
  EXPECT_EQ(Run({Probe(), "exec-memory", "/usr/bin/true"}, named).status, 0);
}

TEST_F(DenialTest, HoldsForADescriptorInsteadOfAName) {
  const Outcome outcome = Run({Probe(), "exec-empty-name", "/usr/bin/id"}, With(kNoId));
  EXPECT_EQ(outcome.status, 126) << outcome;
  EXPECT_EQ(Run({Probe(), "exec-empty-name", "/usr/bin/true"}, With(kNoId)).status, 0);
}

TEST_F(DenialTest, SurvivesThreadsThatExecAtOnce) {
  for (int round = 0; round < 20; ++round) {
    ASSERT_EQ(Run({Probe(), "exec-threads", "/usr/bin/true"}, With(kNoId)).status, 0);
    ASSERT_EQ(Run({Probe(), "exec-threads", "/usr/bin/id"}, With(kNoId)).status, 126);
  }
}

TEST_F(DenialTest, ReachesProgramsThatStartChildrenByVfork) {
  Write(Work("children.py"),
        "import subprocess\n"
        "for _ in range(20):\n"
        "    done = subprocess.run(['id'], capture_output=True, text=True)\n"
        "    assert done.returncode == 126, done\n"
        "    assert 'cellrun: denied: id' in done.stderr, done\n"
        "    assert done.stdout == '', done\n"
        "print('all denied')\n");
  const Outcome outcome = Run({"python3", "children.py"}, With(kNoId));
  EXPECT_EQ(outcome.out, "all denied\n") << outcome;
}

TEST_F(DenialTest, RewritesWhatItLetsRun) {
  const Options options = With(
      "    - name: rewritten\n"
      "      when: {exe: printf, args: [\"**\"]}\n"
      "      then: allow\n"
      "      rewrite: {args-append: [last]}\n"
      "    - name: changed\n"
      "      when: {exe: env}\n"
      "      then: allow\n"
      "      rewrite: {env-set: {ADDED: 'yes'}, env-drop: [\"SEC*\"]}\n");
  EXPECT_EQ(Run({"/usr/bin/printf", "%s;", "a"}, options).out, "a;last;");
  const Outcome environment = Shell("SECRET=1 KEPT=2 env", options);
  EXPECT_THAT(environment.out,
              AllOf(HasSubstr("ADDED=yes\n"), HasSubstr("KEPT=2\n"), Not(HasSubstr("SECRET"))))
      << environment;
}

TEST_F(DenialTest, IsOneOfTheDocumentedStatuses) {
  const Options open = With("    []\n");
  EXPECT_EQ(Run({Probe(), "exit", "42"}, open).status, 42);
  EXPECT_EQ(Run({Probe(), "kill-self", "15"}, open).status, 128 + 15);
  EXPECT_EQ(Run({Probe(), "kill-self", "9"}, open).status, 128 + 9);
  EXPECT_EQ(Run({"no-such-program-anywhere"}, open).status, 127);
  EXPECT_EQ(Run({"/usr/share/dict-that-is-not-there"}, open).status, 127);
  EXPECT_EQ(Run({"/usr/bin"}, open).status, 126);
  EXPECT_EQ(Run({"true"}, {.profile = "no-such-profile"}).status, 125);
  EXPECT_EQ(Run({"true"}, {.flags = {"--no-such-option"}}).status, 2);
  Options timed = open;
  timed.flags.insert(timed.flags.end(), {"--time", "1s"});
  const Outcome late = Run({"sleep", "1000"}, timed);
  EXPECT_EQ(late.status, 124) << late;
  EXPECT_LT(late.seconds, 10);
}

}  // namespace
}  // namespace cellrun::test
