// SPDX-License-Identifier: Apache-2.0
// The support code itself: a check that cannot fail is no check.
#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <signal.h>
#include <unistd.h>

#include "tests/support/remains.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class SupportTest : public Sandbox {
 protected:
  static std::string Variable(const char* name) {
    const char* value = getenv(name);
    return value == nullptr ? "" : value;
  }
};

TEST_F(SupportTest, RunsAsTheLaneSays) {
  const std::string lane = getenv("CELLRUN_TEST_LANE");
  EXPECT_EQ(geteuid() == 0, lane == "root");
  const std::string status = Read("/proc/self/status");
  if (lane == "user") {
    EXPECT_THAT(status, HasSubstr("CapBnd:\t0000000000000000")) << "as under ./dev test by root";
    EXPECT_THAT(status, HasSubstr("CapEff:\t0000000000000000"));
  }
}

TEST_F(SupportTest, CollectsBothStreamsAndTheStatus) {
  const Outcome outcome = Bare({"bash", "-c", "cat; echo no >&2; exit 3"}, {.input = "yes"});
  EXPECT_EQ(outcome.status, 3);
  EXPECT_EQ(outcome.out, "yes");
  EXPECT_EQ(outcome.err, "no\n");
}

TEST_F(SupportTest, EndsWhatTakesTooLong) {
  const Outcome outcome = Bare({"sleep", "1000"}, {.time_limit = std::chrono::seconds(1)});
  EXPECT_TRUE(outcome.timed_out);
  EXPECT_EQ(outcome.status, 128 + SIGKILL);
}

TEST_F(SupportTest, FindsADaemonThatWasLeftBehind) {
  const Outcome outcome =
      Bare({"bash", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & disown"});
  EXPECT_EQ(outcome.status, 0);
  const auto left = WaitForNoDescendants(std::chrono::milliseconds(200));
  ASSERT_EQ(left.size(), 1U);
  EXPECT_THAT(left[0], HasSubstr("sleep 1000"));
  EXPECT_THAT(Descendants(), IsEmpty()) << "what was found is ended";
}

// Where the programs are built with a sanitizer: its report is in a file of a process that nobody
// waits for.
TEST_F(SupportTest, ACaseFailsForWhatASanitizerReports) {
  const auto play = [&](const std::string& script, const std::string& sanitizer) {
    Write(Path("staged/tests/case"), "#!/bin/bash\n" + script, 0755);
    const std::string runner = Variable("CELLRUN_TEST_ROOT") + "/run_in_lane";
    return Bare({runner, Variable("CELLRUN_TEST_LANE"), "case", "Suite.Case"},
                {.environment = {{"CELLRUN_TEST_ROOT", Path("staged")},
                                 {"CELLRUN_TEST_USER", Variable("CELLRUN_TEST_USER")},
                                 {"CELLRUN_TEST_SANITIZER", sanitizer}}});
  };
  const std::string report = "to=${ASAN_OPTIONS#*log_path=}; echo found >${to%%:*}.broker.7";
  const std::string log = "echo 'WARNING: ThreadSanitizer: data race' >>$HOME/broker.log";
  EXPECT_EQ(play("echo said; test -n \"$TSAN_OPTIONS\"", "thread").status, 0);
  EXPECT_EQ(play("test -z \"$ASAN_OPTIONS$TSAN_OPTIONS\"; " + log, "").status, 0);
  const Outcome reported = play(report, "address");
  EXPECT_EQ(reported.status, 1);
  EXPECT_THAT(reported.out, HasSubstr("a sanitizer reports, in reports/of.broker.7:\nfound\n"));
  const Outcome logged = play(log, "thread");
  EXPECT_EQ(logged.status, 1);
  EXPECT_THAT(logged.out, HasSubstr("in home/broker.log:\nWARNING: ThreadSanitizer: data race\n"));
}

TEST_F(SupportTest, TalksToAProgramOnATerminal) {
  Command command;
  command.argv = {"bash", "--norc", "-i"};
  command.environment = InheritedEnvironment();
  Terminal terminal(std::move(command), 30, 100);
  terminal.Send("stty size\n");
  terminal.Expect("30 100");
  terminal.Resize(40, 120);
  terminal.Send("stty size\n");
  terminal.Expect("40 120");
  terminal.Send("exit 7\n");
  EXPECT_EQ(terminal.Wait().status, 7);
}

}  // namespace
}  // namespace cellrun::test
