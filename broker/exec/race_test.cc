// SPDX-License-Identifier: Apache-2.0
// What others do to a task while its exec is judged: change its memory, its directory, execute as
// well. Each race is first shown to be won where nothing is verified.
#include "broker/exec/race.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "broker/exec/judged_cell.h"

namespace cellrun::exec {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr int kAttempts = 1000 / kScale;

// One page that two processes share.
char* SharedPage() {
  void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(page != MAP_FAILED);
  return static_cast<char*>(page);
}

// Executes `argv` with texts that another process flips between two forms, again and again.
struct Flip {
  char* place;              // in shared memory
  const char *good, *evil;  // of equal length
  std::vector<char*> argv, env;
  const char* path;
};
int Attempt(Flip flip) {
  const Busy flipper([&] {
    memcpy(flip.place, flip.evil, strlen(flip.evil));
    Pause(40000);
    memcpy(flip.place, flip.good, strlen(flip.good));
    Pause(40000);
  });
  for (int i = 0; i < kAttempts; ++i) {
    pid_t child = -1;  // posix_spawn hands the very same pointers to execve
    if (posix_spawn(&child, flip.path, nullptr, nullptr, flip.argv.data(), flip.env.data()) == 0) {
      waitpid(child, nullptr, 0);
    }
  }
  return 0;
}

FakePolicy::Decider DenyEvil() {
  return [](const policy::ExecRequest& request) {
    std::string all = request.raw_path;
    for (const std::string& text : request.argv) all += "\n" + text;
    for (const std::string& text : request.env) all += "\n" + text;
    return all.find("evil") == std::string::npos ? Allow() : Deny(EPERM);
  };
}

struct Score {
  std::size_t evil = 0, mismatches = 0;
};
// `verified`: whether an exec is compared after it was allowed.
Score Play(bool verified, const std::function<int()>& body) {
  JudgedCell cell;
  cell.decide = DenyEvil();
  if (!verified) cell.uniform = policy::Action::kAllow;
  EXPECT_EQ(cell.Run(body), 0) << cell.output;
  Score score;
  for (std::size_t at = 0; (at = cell.output.find("evil", at)) != std::string::npos; ++at) {
    ++score.evil;
  }
  score.mismatches = cell.counters.mismatches;
  return score;
}

int FlipArguments() {
  char* page = SharedPage();
  strcpy(page, "good");
  char name[] = "echo";
  return Attempt({.place = page,
                  .good = "good",
                  .evil = "evil",
                  .argv = {name, page, nullptr},
                  .env = {nullptr},
                  .path = "/usr/bin/echo"});
}
int FlipEnvironment() {
  char* page = SharedPage();
  strcpy(page, "X=good");
  char name[] = "env";
  return Attempt({.place = page,
                  .good = "X=good",
                  .evil = "X=evil",
                  .argv = {name, nullptr},
                  .env = {page, nullptr},
                  .path = "/usr/bin/env"});
}
int FlipPath() {
  CopyFile("/usr/bin/true", "good");
  WriteScript("evil", "#!/usr/bin/echo evil\n");
  char* page = SharedPage();
  strcpy(page, "./good");
  char name[] = "x";
  return Attempt({.place = page,
                  .good = "./good",
                  .evil = "./evil",
                  .argv = {name, nullptr},
                  .env = {nullptr},
                  .path = page});
}
int FlipScriptText() {  // what the name means, not the name
  CopyFile("/usr/bin/true", "good");
  WriteScript("evil", "#!/usr/bin/echo evil\n");
  CHECK(symlink("good", "name") == 0);
  const Busy flipper([] {
    CHECK(symlink("evil", "next") == 0 && rename("next", "name") == 0);
    Pause(30000);
    CHECK(symlink("good", "next") == 0 && rename("next", "name") == 0);
    Pause(30000);
  });
  for (int i = 0; i < kAttempts; ++i) (void)Spawn({"x"}, "./name");
  return 0;
}

TEST(RaceTest, ArgumentsThatChangeAreKilled) {
  EXPECT_GT(Play(false, FlipArguments).evil, 0U);
  const Score score = Play(true, FlipArguments);
  EXPECT_EQ(score.evil, 0U);
  EXPECT_GT(score.mismatches, 0U);
}
TEST(RaceTest, AnEnvironmentThatChangesIsKilled) {
  EXPECT_GT(Play(false, FlipEnvironment).evil, 0U);
  const Score score = Play(true, FlipEnvironment);
  EXPECT_EQ(score.evil, 0U);
  EXPECT_GT(score.mismatches, 0U);
}
TEST(RaceTest, APathThatChangesIsKilled) {
  EXPECT_GT(Play(false, FlipPath).evil, 0U);
  const Score score = Play(true, FlipPath);
  EXPECT_EQ(score.evil, 0U);
  EXPECT_GT(score.mismatches, 0U);
}
TEST(RaceTest, ALinkThatChangesIsKilled) {
  // The link is not what the policy looks at: DenyEvil sees "./name" only, so it allows both.
  JudgedCell cell;
  cell.decide = [](const policy::ExecRequest& request) {
    return request.images[0].path.ends_with("/evil") ? Deny(EPERM) : Allow();
  };
  EXPECT_EQ(cell.Run(FlipScriptText), 0);
  EXPECT_THAT(cell.output, Not(HasSubstr("evil")));
  EXPECT_GT(cell.counters.mismatches, 0U);
}

// A thread shares the working directory of the process that executes.
int MoveAround() {
  mkdir("good", 0755);
  mkdir("evil", 0755);
  for (int i = 0; i < 300 / kScale; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      CHECK(chdir("good") == 0);
      std::thread([] {
        while (true) {
          CHECK(chdir("../evil") == 0);
          Pause(3000);
          CHECK(chdir("../good") == 0);
          Pause(3000);
        }
      }).detach();
      Pause(20000);
      execl("/usr/bin/env", "env", "-i", "/usr/bin/pwd", nullptr);
      _exit(0);
    }
    waitpid(child, nullptr, 0);
  }
  return 0;
}
TEST(RaceTest, AWorkingDirectoryThatChangesIsKilled) {
  JudgedCell cell;
  cell.decide = [](const policy::ExecRequest& request) {
    return request.cwd.ends_with("/evil") ? Deny(EPERM) : Allow();
  };
  EXPECT_EQ(cell.Run(MoveAround), 0);
  EXPECT_THAT(cell.output, Not(HasSubstr("evil")));
  EXPECT_THAT(cell.output, HasSubstr("good"));
}

// 8 threads, each with a child in posix_spawn, all in one process.
TEST(RaceTest, ThreadsSpawnAllAtOnce) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 200 / kScale; ++i) {
          if (SpawnShared({"/usr/bin/true"}) != 0) ++failed;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return failed.load();
  }),
            0)
      << cell.output;
  EXPECT_EQ(cell.counters.allowed, 1600U / kScale);
  EXPECT_EQ(cell.journal.CountResult("ran"), 1600U / kScale);
}

TEST(RaceTest, ThreadsAreRedirectedAllAtOnce) {
  JudgedCell cell;
  cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] {
    std::atomic<int> failed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50 / kScale; ++i) {
          if (SpawnShared({"/usr/bin/true"}) != 126) ++failed;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return failed.load();
  }),
            0)
      << cell.output;
}

void* ExecuteTrue(void*) {
  execl("/usr/bin/true", "true", nullptr);
  return nullptr;
}

// All threads of one process execute at the same time: one wins, the others go with the process.
TEST(RaceTest, ThreadsExecuteAllAtOnce) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    for (int i = 0; i < 100 / kScale; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        for (int t = 0; t < 7; ++t) {  // the last ones may come too late
          pthread_t thread{};
          (void)pthread_create(&thread, nullptr, ExecuteTrue, nullptr);
        }
        execl("/usr/bin/true", "true", nullptr);
        _exit(99);
      }
      int status = 0;
      waitpid(child, &status, 0);
      if (status != 0) {
        dprintf(2, "round %d: status %x\n", i, status);
        return 1;
      }
    }
    return 0;
  }),
            0)
      << cell.output;
  EXPECT_EQ(cell.counters.mismatches, 0U);
}

TEST(RaceTest, AThreadThatIsNotTheLeaderExecutes) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    for (int i = 0; i < 50 / kScale; ++i) {
      const int status = InChild([] {
        std::thread([] { execl("/usr/bin/sh", "sh", "-c", "exit 4", nullptr); }).detach();
        while (true) pause();
        return 0;
      });
      if (status != 4) return 1;
    }
    return 0;
  }),
            0)
      << cell.output;
  EXPECT_EQ(cell.journal.CountResult("ran"), 50U / kScale);
}

TEST(RaceTest, AThreadThatIsNotTheLeaderIsRedirected) {
  JudgedCell cell;
  cell.decide = DenyNamed("/true", 0);
  EXPECT_EQ(cell.Run([] {
    return InChild([] {
      std::thread([] { execl("/usr/bin/true", "true", nullptr); }).detach();
      while (true) pause();
      return 0;
    });
  }),
            126)
      << cell.output;
  EXPECT_THAT(cell.output, HasSubstr("cellrun: denied: true"));
}

// An exec that fails is over before it can be interrupted, and the next one is made at once.
TEST(RaceTest, ExecsThatFailFastDoNotOvertakeTheirSupervisor) {
  JudgedCell cell;
  EXPECT_EQ(cell.Run([] {
    WriteScript("text", "no format\n");
    const Busy one([] { Pause(1000000); }), two([] { Pause(1000000); });
    for (int i = 0; i < 3000 / kScale; ++i) {
      const auto start = std::chrono::steady_clock::now();
      execl("./text", "x", nullptr);
      if (errno != ENOEXEC) return 1;
      if (std::chrono::steady_clock::now() - start > std::chrono::seconds(8)) return 2;
    }
    return 0;
  }),
            0)
      << cell.output;
  EXPECT_EQ(cell.counters.mismatches, 0U);
}

}  // namespace
}  // namespace cellrun::exec
