// SPDX-License-Identifier: Apache-2.0
#include "broker/rooms/rooms.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>

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

TEST(RoomsTest, RunsSoonAfterItsApproval) {
  constexpr int kRuns = 30;
  AskedCell asked;
  asked.AskFor("/date");
  std::vector<long long> approved;
  const int status = asked.Run(
      [] {
        for (int i = 0; i < kRuns; ++i) {
          if (Spawn({"date", "+ran %s%N"}, "/usr/bin/date") != 0) return 1;
        }
        return 0;
      },
      [&](pid_t) {
        for (int i = 0; i < kRuns; ++i) {
          (void)asked.queue.Next();
          asked.queue.AwaitPending(1);
          approved.push_back(
              std::chrono::nanoseconds(std::chrono::system_clock::now().time_since_epoch())
                  .count());
          asked.queue.Approve();
        }
      });
  EXPECT_EQ(status, 0) << asked.cell.output;
  std::vector<double> milliseconds;
  std::size_t at = 0;
  for (const long long then : approved) {
    at = asked.cell.output.find("ran ", at);
    ASSERT_NE(at, std::string::npos);
    at += 4;
    milliseconds.push_back(static_cast<double>(std::stoll(asked.cell.output.substr(at)) - then) /
                           1e6);
  }
  std::sort(milliseconds.begin(), milliseconds.end());
  std::cout << "approval to the command's own clock: median " << milliseconds[kRuns / 2]
            << " ms, most " << milliseconds.back() << " ms\n";
  // Alone it is below 5 ms, with the start of the program's libraries.
  EXPECT_LT(milliseconds[kRuns / 2], 50);
}

// ---- As often as CELLRUN_RACES says.

int Races() {
  const char* races = getenv("CELLRUN_RACES");  // NOLINT(concurrency-mt-unsafe)
  return races != nullptr ? std::max(1, atoi(races)) : 30;
}

class RacesTest : public testing::Test {
 protected:
  // Each round: a process of the cell asks, and `disturb` and the approval meet in any order.
  void Run(const char* program, const std::function<int()>& round,
           const std::function<void(AskedCell&, const approvals::Ask&, pid_t init)>& disturb) {
    AskedCell asked;
    asked.AskFor(program);
    // A first ask says what was shown; another image is not approved.
    asked.queue.denies = [first = std::string()](const approvals::Ask& ask) mutable {
      if (first.empty()) first = ask.image_hash;
      return ask.image_hash != first;
    };
    const int races = Races();
    const int status = asked.Run(
        [&] {
          for (int i = 0; i < races; ++i) {
            const int failed = round();
            if (failed != 0) return failed;
          }
          return 0;
        },
        [&](pid_t init) {
          for (int i = 0; i < races; ++i) {
            const approvals::Ask ask = asked.queue.Next();
            if (i % 2 == 0) asked.queue.Approve();
            disturb(asked, ask, init);
            if (i % 2 != 0) asked.queue.Approve();
          }
        });
    EXPECT_EQ(status, 0) << asked.cell.output.substr(0, 2000);
    EXPECT_EQ(asked.rooms_left, 0U);
    EXPECT_EQ(asked.queue.pending(), 0U);
    output_ = asked.cell.output;
    records_ = asked.cell.journal.records();
  }
  std::string output_;
  std::vector<journal::Record> records_;
};

TEST_F(RacesTest, KilledWhileItWaits) {
  Run(
      "/true",
      [] {
        const int status = Spawn({"/usr/bin/true"});
        return status == 0 || status == 128 + SIGKILL ? 0 : 10 + status;
      },
      [](AskedCell&, const approvals::Ask& ask, pid_t) { kill(ask.pid, SIGKILL); });
}

TEST_F(RacesTest, StoppedWhileItWaits) {
  Run(
      "/true", [] { return Spawn({"/usr/bin/true"}); },
      [](AskedCell&, const approvals::Ask& ask, pid_t) {
        kill(ask.pid, SIGSTOP);
        kill(ask.pid, SIGCONT);
      });
  const auto ran = std::count_if(records_.begin(), records_.end(),
                                 [](const auto& record) { return record.result == "ran"; });
  EXPECT_EQ(ran, Races());
}

TEST_F(RacesTest, ChangedWhileItWaits) {
  std::string shown;
  Run(
      "/tool",
      [] {
        if (!CopyFile("/usr/bin/true", "new") || rename("new", "tool") != 0) return 98;
        (void)Spawn({"./tool", "EVIL"});
        while (unlink("disturbed") != 0) usleep(100);
        return 0;
      },
      [&](AskedCell&, const approvals::Ask& ask, pid_t init) {
        if (shown.empty()) {
          shown = ask.image_hash;
        }
        EXPECT_EQ(ask.image_hash, shown);
        const std::string tree = "/proc/" + std::to_string(init) + "/cwd/";
        EXPECT_TRUE(CopyFile("/usr/bin/echo", (tree + "evil").c_str()));
        EXPECT_EQ(rename((tree + "evil").c_str(), (tree + "tool").c_str()), 0);
        EXPECT_TRUE(CopyFile("/dev/null", (tree + "disturbed").c_str()));
      });
  EXPECT_THAT(output_, Not(HasSubstr("\nEVIL\n")));
}

}  // namespace
}  // namespace cellrun::rooms
