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

class SupportTest : public Sandbox {};

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
