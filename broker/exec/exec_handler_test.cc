// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/exec_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/exec/judged_cell.h"

namespace cellrun::exec {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;

TEST(ExecHandlerTest, RunsAndVerifiesWhatIsAllowed) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] { return Spawn({"/usr/bin/sh", "-c", "exit 7"}); }), 7) << cell.output;
  const journal::Record record = cell.journal.Last("/usr/bin/sh");
  EXPECT_EQ(record.result, "ran");
  EXPECT_EQ(record.verdict, policy::Action::kAllow);
  EXPECT_THAT(record.argv, ElementsAre("/usr/bin/sh", "-c", "exit 7"));
  EXPECT_EQ(record.exe, "/usr/bin/dash");
  EXPECT_EQ(cell.counters.allowed, 1U);
  EXPECT_EQ(cell.counters.mismatches, 0U);
}

TEST(ExecHandlerTest, RefusesWithTheErrnoOfTheRule) {
  JudgedCell cell;
  cell.decide = DenyNamed("/true", EPERM);
  EXPECT_EQ(cell.Run([] { return ExecErrno({"/usr/bin/true"}); }), EPERM) << cell.output;
  EXPECT_EQ(cell.journal.Last("/usr/bin/true").result, "denied");
  EXPECT_EQ(cell.denials.size(), 1U);
}

TEST(ExecHandlerTest, ExplainsADenialThroughTheShim) {
  JudgedCell cell;
  cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] { return Spawn({"true", "a b"}, "/usr/bin/true"); }), 126) << cell.output;
  EXPECT_EQ(cell.output,
            "cellrun: denied: true \"a b\"\nrule: test.yaml:7 \"publishes code\"\n"
            "instead: do not\n");
  EXPECT_EQ(cell.counters.denied, 1U);
}

TEST(ExecHandlerTest, AnswersAMissingNameWithoutARecord) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] { return ExecErrno({"/usr/bin/no-such-program"}); }), ENOENT);
  EXPECT_TRUE(cell.journal.records().empty());
  EXPECT_EQ(cell.counters.missing, 1U);
}

TEST(ExecHandlerTest, AnAskIsDeniedAsNobodyCanApprove) {
  JudgedCell cell;
  cell.decide = [](const policy::ExecRequest&) {
    policy::Verdict verdict = Allow();
    verdict.action = policy::Action::kAsk;
    return verdict;
  };
  EXPECT_EQ(cell.Run([] { return Spawn({"/usr/bin/true"}); }), 126);
  EXPECT_THAT(cell.output, HasSubstr("no approver is connected"));
  EXPECT_EQ(cell.counters.asked, 1U);
  EXPECT_EQ(cell.journal.Last("/usr/bin/true").result, "denied");
}

TEST(ExecHandlerTest, WithoutARecordNothingRuns) {
  JudgedCell cell;
  cell.journal_refuses = true;
  EXPECT_EQ(cell.Run([] { return ExecErrno({"/usr/bin/true"}); }), EACCES);
  EXPECT_EQ(cell.counters.allowed, 0U);
}

TEST(ExecHandlerTest, WithoutAShimADenialIsPlain) {
  JudgedCell cell;
  cell.without_shim = true;
  cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] { return ExecErrno({"/usr/bin/true"}); }), EACCES);
}

TEST(ExecHandlerTest, WithoutRoomForTheShimADenialIsPlain) {
  JudgedCell cell;
  cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] {
    const rlimit none{3, 3};
    return setrlimit(RLIMIT_NOFILE, &none) == 0 ? ExecErrno({"/usr/bin/true"}) : 1;
  }),
            EACCES)
      << cell.output;
}

TEST(ExecHandlerTest, ObservingRunsAndRecordsTheVerdict) {
  JudgedCell cell;
  cell.observe = true;
  cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] { return Spawn({"/usr/bin/true"}); }), 0);
  EXPECT_EQ(cell.journal.Last("/usr/bin/true").observed, "deny");
  EXPECT_EQ(cell.journal.Last("/usr/bin/true").result, "ran");
}

TEST(ExecHandlerTest, ObservingDoesNotLoosenTheFloor) {
  JudgedCell cell;
  cell.observe = true;
  cell.decide = [](const policy::ExecRequest&) {
    policy::Verdict verdict = Deny(EPERM);
    verdict.rule.layer = policy::Layer::kFloor;
    return verdict;
  };
  EXPECT_EQ(cell.Run([] { return ExecErrno({"/usr/bin/true"}); }), EPERM);
}

TEST(ExecHandlerTest, ARewrittenCommandRunsAsTheRuleSays) {
  static policy::Rewrite rewrite;
  rewrite.args_prepend = {"-n"};
  rewrite.args_remove = {"secret*"};
  rewrite.env_set = {{"ADDED", "1"}};
  JudgedCell cell;
  cell.decide = [](const policy::ExecRequest& request) {
    policy::Verdict verdict = Allow();
    if (request.argv[0] == "echo") verdict.rewrite = &rewrite;
    return verdict;
  };
  EXPECT_EQ(cell.Run([] { return Spawn({"echo", "a", "secret-x", "b"}, "/bin/echo"); }), 0);
  EXPECT_EQ(cell.output, "a b");
  const std::vector<journal::Record> records = cell.journal.records();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].result, "rewritten");
  EXPECT_THAT(records[0].argv, ElementsAre("echo", "a", "secret-x", "b"));
  EXPECT_EQ(records[1].result, "ran");
  EXPECT_THAT(records[1].argv, ElementsAre("echo", "-n", "a", "b"));
  EXPECT_EQ(records[1].path, "/usr/bin/echo");
  EXPECT_EQ(cell.policy->requests().size(), 1U);  // the second is judged by its ticket
}

TEST(ExecHandlerTest, ARewrittenScriptStaysAScript) {
  static policy::Rewrite rewrite;
  rewrite.args_append = {"added"};
  JudgedCell cell;
  cell.decide = [](const policy::ExecRequest& request) {
    policy::Verdict verdict = Allow();
    if (request.images.size() > 1) verdict.rewrite = &rewrite;
    return verdict;
  };
  EXPECT_EQ(cell.Run([] {
    WriteScript("script", "#!/bin/sh\necho \"$@\"\n");
    return Spawn({"script", "one"}, "./script");
  }),
            0);
  EXPECT_EQ(cell.output, "one added\n");
}

// Whoever executes the shim by itself gets no channel.
TEST(ExecHandlerTest, TheShimWithoutATicketIsNobody) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] { return Spawn({"./shim"}); }), 126);
  EXPECT_THAT(cell.output, HasSubstr("cellrun"));
}

TEST(ExecHandlerTest, RecordsNameEverythingThatWasJudged) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    WriteScript("script", "#!/bin/sh\n");
    return Spawn({"script", "x"}, "./script");
  }),
            0);
  const journal::Record record = cell.journal.Last("./script");
  EXPECT_EQ(record.cell, "cell");
  EXPECT_EQ(record.user, "tester");
  EXPECT_THAT(record.exe, EndsWith("/script"));
  EXPECT_THAT(record.chain, ElementsAre("/usr/bin/dash"));
  EXPECT_EQ(record.script_images, 1U);
  EXPECT_EQ(record.writable_images, 1U);
  EXPECT_EQ(record.anonymous_images, 0U);
  EXPECT_EQ(record.env_digest.size(), 64U);
  EXPECT_EQ(record.rule.at.line, 7);
  EXPECT_GT(record.pid, 1);
}

}  // namespace
}  // namespace cellrun::exec
