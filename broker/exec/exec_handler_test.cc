// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/exec_handler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
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

}  // namespace
}  // namespace cellrun::exec
