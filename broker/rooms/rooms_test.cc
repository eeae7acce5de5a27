// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/rooms.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/rooms/asked_cell.h"

namespace cellrun::rooms {
namespace {

using exec::CopyFile;
using exec::Spawn;
using exec::SpawnShared;
using exec::WriteScript;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

TEST(RoomsTest, AnApprovedCommandRunsInItsOwnProcess) {
  AskedCell asked;
  asked.AskFor("/dash");
  const int status = asked.Run(
      [] {
        return Spawn({"sh", "-c", "echo \"$0 $A\"; exit 7", "zero"}, "/usr/bin/sh");
      },
      [&](pid_t) {
        const approvals::Ask ask = asked.queue.Next();
        EXPECT_THAT(ask.argv, ElementsAre("sh", "-c", "echo \"$0 $A\"; exit 7", "zero"));
        EXPECT_EQ(ask.program, "/usr/bin/dash");
        EXPECT_EQ(ask.reason, "publishes code");
        asked.queue.Approve();
      });
  EXPECT_EQ(status, 7) << asked.cell.output;
  EXPECT_EQ(asked.cell.output,
            "cellrun: waiting for approval 7f3a1 (1m40s)\n"
            "to answer, outside the cell: cellrun approve 7f3a1, or cellrun deny 7f3a1\n"
            "zero \n");
  const std::vector<journal::Record> records = asked.cell.journal.records();
  ASSERT_EQ(records.size(), 2U);
  EXPECT_EQ(records[0].verdict, policy::Action::kAsk);
  EXPECT_EQ(records[0].result, "approved");
  EXPECT_EQ(records[1].result, "ran");
  EXPECT_EQ(records[1].detail, "{\"ask\":\"7f3a1\"}");
  EXPECT_EQ(records[0].pid, records[1].pid);
  EXPECT_EQ(asked.rooms_left, 0U);
}

TEST(RoomsTest, ADenialReachesTheCommandWithItsReason) {
  AskedCell asked;
  asked.AskFor("/true");
  const int status = asked.Run([] { return Spawn({"/usr/bin/true"}); },
                               [&](pid_t) {
                                 (void)asked.queue.Next();
                                 asked.queue.Deny("not \x1b[2J today");
                               });
  EXPECT_EQ(status, 126);
  EXPECT_THAT(asked.cell.output, HasSubstr("cellrun: denied: /usr/bin/true\n"));
  EXPECT_THAT(asked.cell.output, HasSubstr("approval: not \\u{1b}[2J today\n"));
  ASSERT_EQ(asked.cell.journal.records().size(), 1U);
  EXPECT_EQ(asked.cell.journal.records()[0].result, "denied");
  ASSERT_EQ(asked.cell.denials.size(), 1U);
  EXPECT_THAT(asked.cell.denials[0], HasSubstr("today"));
}

TEST(RoomsTest, WithoutTimeNobodyIsAsked) {
  AskedCell asked;
  asked.AskFor("/true");
  asked.timeout = std::chrono::milliseconds(0);
  EXPECT_EQ(asked.Run([] { return Spawn({"/usr/bin/true"}); }, [](pid_t) {}), 126);
  EXPECT_THAT(asked.cell.output, HasSubstr("no approver is connected"));
  EXPECT_THAT(asked.cell.output, Not(HasSubstr("waiting")));
}

TEST(RoomsTest, AParentThatSharesMemoryGoesOnAtOnce) {
  AskedCell asked;
  asked.AskFor("/true");
  const int status = asked.Run(
      [] {
        const pid_t child = vfork();
        if (child == 0) {
          execl("/usr/bin/true", "true", nullptr);
          _exit(99);
        }
        // Here although nobody has answered.
        if (mkdir("parent-went-on", 0755) != 0) return 98;
        int ended = 0;
        return waitpid(child, &ended, 0) == child ? WEXITSTATUS(ended) : 97;
      },
      [&](pid_t init) {
        (void)asked.queue.Next();
        const std::string mark = "/proc/" + std::to_string(init) + "/cwd/parent-went-on";
        Await("the parent", [&] { return access(mark.c_str(), F_OK) == 0; });
        asked.queue.Approve();
      });
  EXPECT_EQ(status, 0) << asked.cell.output;
}

TEST(RoomsTest, AKilledWaiterIsWithdrawn) {
  AskedCell asked;
  asked.AskFor("/true");
  const int status = asked.Run([] { return Spawn({"/usr/bin/true"}); },
                               [&](pid_t) {
                                 const approvals::Ask ask = asked.queue.Next();
                                 kill(ask.pid, SIGINT);
                                 asked.queue.AwaitPending(0);
                                 asked.queue.Approve();  // too late: nobody is there
                               });
  EXPECT_EQ(status, 128 + SIGINT);
  EXPECT_EQ(asked.cell.journal.records().size(), 1U);
  EXPECT_EQ(asked.cell.journal.records()[0].result, "withdrawn");
  EXPECT_EQ(asked.rooms_left, 0U);
}

TEST(RoomsTest, AStoppedWaiterRunsOnceItGoesOn) {
  AskedCell asked;
  asked.AskFor("/true");
  const int status = asked.Run([] { return Spawn({"/usr/bin/true"}); },
                               [&](pid_t) {
                                 const approvals::Ask ask = asked.queue.Next();
                                 const std::string stat =
                                     "/proc/" + std::to_string(ask.pid) + "/stat";
                                 kill(ask.pid, SIGSTOP);
                                 asked.queue.Approve();
                                 asked.queue.AwaitPending(0);
                                 EXPECT_EQ(asked.cell.journal.records().size(), 1U);
                                 kill(ask.pid, SIGCONT);
                               });
  EXPECT_EQ(status, 0) << asked.cell.output;
  EXPECT_EQ(asked.cell.journal.CountResult("ran"), 1U);
}

TEST(RoomsTest, EditedArgumentsAreWhatRuns) {
  AskedCell asked;
  asked.AskFor("/echo");
  const int status = asked.Run(
      [] {
        return Spawn({"echo", "a"}, "/usr/bin/echo");
      },
      [&](pid_t) {
        (void)asked.queue.Next();
        asked.queue.Answer(Approved({"echo", "edited", "x y"}));
      });
  EXPECT_EQ(status, 0);
  EXPECT_THAT(asked.cell.output, EndsWith("edited x y\n"));
}

TEST(RoomsTest, ARewriteIsShownAndRuns) {
  AskedCell asked;
  asked.AskFor("/printenv");
  asked.rewrite.args_append = {"ADDED"};
  asked.rewrite.env_set = {{"ADDED", "one"}};
  const int status = asked.Run([] { return Spawn({"printenv"}, "/usr/bin/printenv"); },
                               [&](pid_t) {
                                 const approvals::Ask ask = asked.queue.Next();
                                 EXPECT_THAT(ask.argv, ElementsAre("printenv", "ADDED"));
                                 EXPECT_THAT(ask.original_argv, ElementsAre("printenv"));
                                 asked.queue.Approve();
                               });
  EXPECT_EQ(status, 0);
  EXPECT_THAT(asked.cell.output, EndsWith("one\n"));
}

TEST(RoomsTest, AnImageThatChangedIsRefusedAndAskedAnew) {
  AskedCell asked;
  asked.AskFor("/tool");
  const int status = asked.Run(
      [] {
        if (!CopyFile("/usr/bin/true", "tool")) return 98;
        return Spawn({"./tool", "ran"});
      },
      [&](pid_t init) {
        const approvals::Ask ask = asked.queue.Next();
        // As another process of the cell would.
        const std::string tool = "/proc/" + std::to_string(init) + "/cwd/tool";
        EXPECT_TRUE(CopyFile("/usr/bin/echo", (tool + ".new").c_str()));
        EXPECT_EQ(rename((tool + ".new").c_str(), tool.c_str()), 0);
        asked.queue.Approve();
        const approvals::Ask again = asked.queue.Next();
        EXPECT_EQ(again.pid, ask.pid);
        asked.queue.Deny("no");
      });
  EXPECT_EQ(status, 126) << asked.cell.output;
  EXPECT_THAT(asked.cell.output, HasSubstr("cellrun: not run: "));
  EXPECT_THAT(asked.cell.output, HasSubstr("/tool has changed since it was shown; asking again\n"));
  EXPECT_THAT(asked.cell.output, Not(HasSubstr("\nran\n")));
  EXPECT_EQ(asked.cell.journal.CountResult("ran"), 0U) << asked.cell.output;
}

TEST(RoomsTest, AMovedWorkingDirectoryIsRefused) {
  AskedCell asked;
  asked.AskFor("/true");
  const int status = asked.Run(
      [] {
        if (mkdir("here", 0755) != 0 || chdir("here") != 0) return 98;
        return Spawn({"/usr/bin/true"});
      },
      [&](pid_t init) {
        (void)asked.queue.Next();
        const std::string tree = "/proc/" + std::to_string(init) + "/cwd/";
        EXPECT_EQ(rename((tree + "here").c_str(), (tree + "there").c_str()), 0);
        asked.queue.Approve();
        EXPECT_THAT(asked.queue.Next().cwd, EndsWith("/there"));
        asked.queue.Approve();
      });
  EXPECT_EQ(status, 0) << asked.cell.output;
  EXPECT_THAT(asked.cell.output, HasSubstr("the working directory is another one now"));
}

TEST(RoomsTest, ManyWaitAtOnceAndEachRunsOnce) {
  AskedCell asked;
  asked.AskFor("/true");
  constexpr int kCommands = 40;
  asked.queue.at_once = [](const approvals::Ask& ask) { return Approved(ask.argv); };
  const int status = asked.Run(
      [] {
        for (int i = 0; i < kCommands; ++i) {
          if (fork() == 0) {
            execl("/usr/bin/true", "true", nullptr);
            _exit(99);
          }
        }
        int failed = 0;
        for (int i = 0; i < kCommands; ++i) {
          int ended = 0;
          wait(&ended);
          failed += ended != 0 ? 1 : 0;
        }
        return failed;
      },
      {});
  EXPECT_EQ(status, 0) << asked.cell.output;
  EXPECT_EQ(asked.cell.journal.CountResult("ran"), std::size_t{kCommands});
  EXPECT_EQ(asked.rooms_left, 0U);
}

}  // namespace
}  // namespace cellrun::rooms
