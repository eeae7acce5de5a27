// SPDX-License-Identifier: Apache-2.0
// B: what changes between the look and the act.
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "tests/escape/escape.h"
#include "tests/support/remains.h"
#include "tests/support/time_factor.h"

namespace cellrun::test {
namespace {

constexpr char kQuietDeny[] = "    - {when: {exe: '**'}, then: deny, errno: EPERM}\n";

std::string DenyArgument(Escape& escape) {
  return "    - {when: {exe: '" + escape.Work("good") +
         "', args-any: ['as=evil']}, then: deny, errno: EPERM}\n";
}
void ArgumentThread(Escape& escape) {
  escape.Try(Race{.kind = "argument-thread", .rules = DenyArgument(escape)});
}
void ArgumentProcess(Escape& escape) {
  escape.Try(Race{.kind = "argument-process", .rules = DenyArgument(escape)});
}
void ArgumentMemoryFile(Escape& escape) {
  escape.Try(Race{.kind = "argument-memory-file", .rules = DenyArgument(escape)});
}
void ArgumentSystemV(Escape& escape) {
  escape.Try(Race{.kind = "argument-system-v", .rules = DenyArgument(escape)});
}
void Explained(Escape& escape) {  // the denial is a redirect to the waiting room
  escape.Try(Race{.kind = "argument-process",
                  .rules = "    - {when: {exe: '" + escape.Work("good") +
                           "', args-any: ['as=evil']}, then: deny}\n",
                  .share = 4});
}
void Environment_(Escape& escape) {
  escape.Try(Race{.kind = "environment",
                  .rules = "    - {when: {exe: '" + escape.Work("good") +
                           "', env: {MARK: evil}}, then: deny, errno: EPERM}\n"});
}
void Path_(Escape& escape) {
  escape.Try(Race{.kind = "path"});
}
void UnmappedPath(Escape& escape) {
  // Nothing good is ever tried: what can be read is evil, and what cannot be read is denied.
  const long tries = Escape::Iterations();
  const auto prepare = [&] {
    escape.Reset();
    escape.CopyProgram("mark", "evil", "evil");
  };
  const auto argv = [](long count) {
    return Words{Escape::Program("escape_race"), "unmapped-path", std::to_string(count)};
  };
  prepare();
  escape.MustWinOnce(argv(300), [&] { return escape.Marks("evil") > 0; });
  prepare();
  Options options = escape.Using(escape.Judged("    - {when: {exe: '" + escape.Work("evil") +
                                               "'}, then: deny, errno: EPERM}\n"));
  options.time_limit = std::chrono::seconds(60 + tries / 10);
  const Outcome cell = escape.Run(argv(tries), options);
  EXPECT_EQ(cell.status, 0) << cell;
  escape.Count(escape.Marks("evil"), tries);
  escape.MustHold(escape.Marks("evil") > 0, cell.out);
}
void Link(Escape& escape) {
  escape.Try(Race{.kind = "link"});
}
void Rename(Escape& escape) {
  escape.Try(Race{
      .kind = "rename",
      .rules = "    - {when: {exe: '" + escape.Work("b/tool") + "'}, then: deny, errno: EPERM}\n",
      .prepare = [&escape] {
        escape.CopyProgram("mark", "a/tool", "good");
        escape.CopyProgram("mark", "b/tool", "evil");
      }});
}

// Only the good content may run, whatever the name.
Race ByContent(Escape& escape, const char* kind) {
  escape.Reset();
  const std::string good = escape.CopyProgram("mark", "good", "good");
  const std::string sum = escape.Bare({"sha256sum", good}).out.substr(0, 64);
  return {.kind = kind,
          .rules = Escape::Allow(Escape::Program("escape_race")) +
                   "    - {when: {hash: 'sha256:" + sum + "'}, then: allow}\n" + kQuietDeny,
          .prepare = [&escape] { escape.CopyProgram("mark", "tool", "good"); }};
}
void Content(Escape& escape) {
  escape.Try(ByContent(escape, "content"));
}
void Replaced(Escape& escape) {
  escape.Try(ByContent(escape, "replaced"));
}

void Script(Escape& escape) {
  escape.Try(Race{.kind = "script"});
}
void ScriptReplaced(Escape& escape) {
  escape.Try(Race{.kind = "script-replaced"});
}
void ScriptArgument(Escape& escape) {
  escape.Try(Race{.kind = "script-argument", .rules = DenyArgument(escape)});
}
void Directory(Escape& escape) {
  escape.Try(Race{.kind = "directory",
                  .rules = "    - {when: {exe: '" + escape.Work("good") + "', cwd: '" +
                           escape.Work("evil-place") + "'}, then: deny, errno: EPERM}\n",
                  .share = 2});
}
void Descriptor(Escape& escape) {
  escape.Try(Race{.kind = "descriptor", .share = 2});
}
void Interrupted(Escape& escape) {
  escape.Try(Race{.kind = "interrupted"});
}

// Every run has a verdict of its own in the journal.
void KilledAtAnyMoment(Escape& escape) {
  escape.Try(Race{.kind = "killed"});
  const long ran = escape.Marks("good");
  long allowed = 0;
  if (Escape::Iterations() > 5000) return;  // too many to list
  for (const auto& record : escape.History({"--verdict", "allow", "--limit", "100000"})) {
    allowed += record.value("exe", "") == escape.Work("good");
  }
  EXPECT_GE(allowed, ran) << "programs that ran, and verdicts";
}

// Two cells share a workspace: one executes, the other one writes its arguments.
void TwoCells(Escape& escape) {
  const long tries = Escape::Iterations();
  const std::string stop = escape.Work("stop");
  const auto prepare = [&] {
    escape.Reset();
    escape.CopyProgram("mark", "good", "good");
  };
  const Words flipper = {Escape::Program("escape_race"), "flip-file", stop};
  const auto argv = [](long count) {
    return Words{Escape::Program("escape_race"), "argument-workspace-file", std::to_string(count)};
  };
  const auto until_flipping = [&] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!Escape::Exists(escape.Work("flipping"))) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the other one does not start";
      usleep(2000);
    }
  };
  prepare();
  {
    Command command = escape.CellrunCommand({});
    command.argv = flipper;
    Process other(std::move(command));
    until_flipping();
    escape.MustWinOnce(argv(300), [&] { return escape.Marks("evil") > 0; });
    escape.Write(stop, "");
    EXPECT_EQ(other.Wait().status, 0);
  }
  prepare();
  Options options = escape.Using(escape.Judged(DenyArgument(escape)));
  options.time_limit = std::chrono::seconds(60 + tries / 10);
  Process other = escape.Start(flipper, options);
  until_flipping();
  const Outcome cell = escape.Run(argv(tries), options);
  escape.Write(stop, "");
  EXPECT_EQ(other.Wait().status, 0);
  EXPECT_EQ(cell.status, 0) << cell;
  EXPECT_GT(escape.Marks("good"), 0) << cell;
  EXPECT_LT(escape.Marks("good"), tries) << "the two never met: " << cell;
  escape.Count(escape.Marks("evil"), tries);
  escape.MustHold(escape.Marks("evil") > 0, cell.out);
}

// Listeners outside; how many connections each has accepted is what counts.
void Address(Escape& escape) {
  const long tries = Escape::Iterations();
  escape.Write(
      escape.Path("server.py"),
      "import socket, sys, threading\n"
      "one = [socket.create_server(('127.0.0.1', 0), backlog=4096) for _ in range(2)]\n"
      "counts = [0, 0]\n"
      "def serve(i):\n"
      "    while True:\n"
      "        peer, _ = one[i].accept(); counts[i] += 1; peer.close()\n"
      "for i in range(2): threading.Thread(target=serve, args=(i,), daemon=True).start()\n"
      "print(one[0].getsockname()[1], one[1].getsockname()[1], 'ready', flush=True)\n"
      "for n, line in enumerate(sys.stdin): print('counts', *counts, 'end', n + 1, flush=True)\n");
  Process server = escape.Outside({"python3", escape.Path("server.py")}, "ready");
  int good = 0, evil = 0, asked = 0;
  ASSERT_EQ(sscanf(server.out().c_str(), "%d %d", &good, &evil), 2);
  const auto evil_accepted = [&] {
    ++asked;
    server.Write("?\n");
    EXPECT_TRUE(server.WaitForOutput("end " + std::to_string(asked) + "\n"));
    int first = 0, second = 0;
    sscanf(server.out().c_str() + server.out().rfind("counts"), "counts %d %d", &first, &second);
    return second;
  };
  const auto argv = [&](long count) {
    return Words{Escape::Program("escape_reach"), "address-race", std::to_string(good),
                 std::to_string(evil), std::to_string(count)};
  };
  int shown = 0;
  escape.MustWinOnce(argv(2000), [&] { return (shown = evil_accepted()) > 0; });
  Options options = escape.Using("");
  options.time_limit = std::chrono::seconds(60 + tries / 10);
  const Outcome cell = escape.Run(argv(tries), options);
  EXPECT_EQ(cell.status, 0) << cell;
  const int wins = evil_accepted() - shown;
  escape.Count(wins, tries);
  escape.MustHold(wins > 0, cell.out);
}

void Blinded(Escape& escape) {
  escape.Reset();
  escape.CopyProgram("mark", "evil", "evil");
  escape.Try({.argv = {Escape::Program("escape_exec"), "blinded", escape.Work("evil")},
              .profile = escape.Judged(Escape::Deny(escape.Work("evil"))),
              .prepare = [&escape] { escape.CopyProgram("mark", "evil", "evil"); },
              .damage = [&escape] { return escape.EvilRan(); }});
}
void Unreadable(Escape& escape) {
  escape.Reset();
  escape.CopyProgram("mark", "evil", "evil");
  escape.Try({.argv = {Escape::Program("escape_exec"), "unreadable", escape.Work("evil"),
                       escape.Work("copy")},
              .profile = escape.Judged(Escape::Deny(escape.Work("evil"))),
              .prepare =
                  [&escape] {
                    escape.CopyProgram("mark", "evil", "evil");
                    escape.CopyProgram("escape_exec", "copy");
                  },
              .damage = [&escape] { return escape.EvilRan(); }});
}

// Signals all the time, and every exec still happens once.
void SignalStorm(Escape& escape) {
  escape.ShownBare(Shown::kAimsAtCell);
  const Outcome cell = escape.Run({"python3", "-c",
                                   "import signal, subprocess\n"
                                   "signal.signal(signal.SIGALRM, lambda *_: None)\n"
                                   "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n"
                                   "for _ in range(100): subprocess.run(['" +
                                       Escape::Program("mark") +
                                       "', 'as=good'], check=True)\n"
                                       "signal.setitimer(signal.ITIMER_REAL, 0)\n"},
                                  escape.Using(""));
  EXPECT_EQ(cell.status, 0) << cell;
  escape.MustHold(escape.Marks("good") != 100,
                  std::to_string(escape.Marks("good")) + " runs of 100");
}
void SpawnStorm(Escape& escape) {
  escape.ShownBare(Shown::kAimsAtCell);
  const std::string count = std::to_string(Escape::Iterations());
  Options options = escape.Using("");
  options.time_limit = std::chrono::seconds(60 + Escape::Iterations() / 20);
  const Outcome cell = escape.Run(
      {Escape::Program("storm"), "spawn", "64", count, Escape::Program("minimal")}, options);
  EXPECT_EQ(cell.status, 0) << cell;
  escape.MustHold(cell.out.substr(0, cell.out.find(' ')) != count, "wrong denials: " + cell.out);
  escape.Note("0 wrong denials of " + count);
}

void BrokerKilled(Escape& escape) {
  escape.ShownBare(Shown::kAimsAtCell);
  escape.MayLeaveSockets();
  const long rounds = std::max(3L, Escape::Iterations() / 200);
  for (long round = 0; round < rounds; ++round) {
    escape.Reset();
    Process storm = escape.Start({"bash", "-c",
                                  "for i in 1 2 3 4 5 6 7 8; do (while :; do " +
                                      Escape::Program("mark") + " as=good; done) & done; wait"},
                                 escape.Using(""));
    const auto deadline =
        std::chrono::steady_clock::now() + std::chrono::seconds(20) * TimeFactor();
    while (escape.Marks("good") < 20 + round % 7) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << storm.err();
    }
    ASSERT_EQ(kill(escape.BrokerPid(), SIGKILL), 0);
    EXPECT_EQ(storm.Wait().status, 125);
    const auto left = WaitForNoDescendants(std::chrono::seconds(10));
    EXPECT_TRUE(left.empty()) << left.size() << " processes go on";
    const long then = escape.Marks("good");
    (void)escape.Bare({"true"});
    escape.MustHold(escape.Marks("good") != then, "something ran without a broker");
  }
  escape.Count(0, rounds);
}

// Starts and stops with kills in between: nothing may be left of any of them.
void StartsAndStops(Escape& escape) {
  escape.ShownBare(Shown::kAimsAtCell);
  const long rounds = std::max(20L, Escape::Iterations() / 10);
  const Options options = escape.Using("");
  escape.StartBroker();
  EXPECT_EQ(escape.Run({"true"}, options).status, 0);
  const pid_t broker = escape.BrokerPid();
  const auto settle = [&] {  // until only the broker is left
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (Descendants() != std::vector<pid_t>{broker}) {
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }  // orphans come to this process
      if (std::chrono::steady_clock::now() > deadline) return false;
      usleep(1000);
    }
    return true;
  };
  ASSERT_TRUE(settle());
  const auto mounts = [] { return MountsMentioning("").size(); };
  const long descriptors = DescriptorCount(broker);
  const auto mounts_before = mounts();
  const auto sockets_before = SocketsBelow(escape.RuntimeDirectory()).size();
  std::uint32_t state = 12345;
  const auto random = [&state](std::uint32_t below) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
  };
  long most = 0;
  for (long round = 0; round < rounds; ++round) {
    Process cell = escape.Start({Escape::Program("escape_race"), "killed", "100000"}, options);
    usleep(random(60000));
    const auto all = Descendants();
    switch (random(4)) {
      case 0:
        cell.Signal(SIGKILL);
        break;
      case 1:
        cell.Signal(SIGTERM);
        break;
      default: {
        const pid_t victim =
            all.empty() ? cell.pid() : all[random(static_cast<std::uint32_t>(all.size()))];
        if (victim != broker) kill(victim, SIGKILL);
        usleep(random(3000));
        cell.Signal(SIGKILL);
      }
    }
    cell.Wait();
    if (round % 20 == 19 || round + 1 == rounds) {
      ASSERT_TRUE(settle()) << "processes are left after " << round + 1 << " cells";
    }
  }
  ASSERT_EQ(escape.BrokerPid(), broker) << "the broker died";
  for (int i = 0; i < 500 && DescriptorCount(broker) > descriptors; ++i) usleep(10000);
  most = DescriptorCount(broker) - descriptors;
  escape.MustHold(most > 0, std::to_string(most) + " descriptors more");
  escape.MustHold(mounts() > mounts_before, "mounts are left");
  escape.MustHold(SocketsBelow(escape.RuntimeDirectory()).size() > sockets_before,
                  "sockets are left");
  escape.Note("0 leaks in " + std::to_string(rounds) + " starts");
}

constexpr Case kCases[] = {
    {"B1", "argument_thread", "a thread changes an argument", ArgumentThread},
    {"B1", "path", "a thread changes the path", Path_},
    {"B1", "environment", "another process changes a variable", Environment_},
    {"B1", "explained", "an argument changes while a denial is explained", Explained},
    {"B3", "argument_process", "another process changes an argument", ArgumentProcess},
    {"B3", "argument_memory_file", "the same in a memory file", ArgumentMemoryFile},
    {"B3", "argument_system_v", "the same in System V memory", ArgumentSystemV},
    {"B3", "two_cells", "another cell changes an argument in a shared file", TwoCells},
    {"B4", "address", "the address changes while connect is judged", Address},
    {"B6", "unmapped_path", "the path cannot be read when it is looked at", UnmappedPath},
    {"A1", "link", "a link points elsewhere in between", Link},
    {"H2", "rename", "two directories are exchanged in between", Rename},
    {"A23", "content", "an allowed program is rewritten in between", Content},
    {"A23", "replaced", "an allowed program is replaced in between", Replaced},
    {"A8", "script", "a script's interpreter is rewritten in between", Script},
    {"A8", "script_replaced", "a script is replaced in between", ScriptReplaced},
    {"A8", "script_argument", "a script's argument is rewritten in between", ScriptArgument},
    {"B8", "directory", "a thread changes the working directory", Directory},
    {"B5", "descriptor", "a thread changes the descriptor that is executed", Descriptor},
    {"B7", "blinded", "make oneself unreadable, or leave no room for an answer", Blinded},
    {"B7", "unreadable", "the same from a program that nobody may read", Unreadable},
    {"B9", "interrupted", "a signal replaces an exec by another one", Interrupted},
    {"B10", "signal_storm", "signals all the time: nothing is lost", SignalStorm},
    {"B12", "killed", "killed at any moment, numbers are reused", KilledAtAnyMoment},
    {"B13", "broker_killed", "the broker dies with execs pending", BrokerKilled},
    {"B17", "spawn_storm", "64 threads spawn: nothing is denied wrongly", SpawnStorm},
    {"D19", "starts_and_stops", "cells are killed at any moment: nothing is left", StartsAndStops},
};
ESCAPE_SUITE(RaceTest, kCases);

}  // namespace
}  // namespace cellrun::test
