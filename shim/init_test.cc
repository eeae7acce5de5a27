// SPDX-License-Identifier: Apache-2.0
#include "shim/init.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "lib/sys/memory.h"
#include "lib/sys/socket.h"
#include "shim/cell_fixture.h"

namespace cellrun::shim {
namespace {

using testing::HasSubstr;
using testing::Not;

class InitTest : public CellFixture {
 protected:
  // Runs `argv`, main or not, and expects its exit; the wait status.
  int StatusOf(const std::vector<std::string>& argv) {
    const std::uint32_t id = Spawn({.argv = argv});
    const Event spawned = Expect(wire::kSpawned);
    EXPECT_EQ(spawned.header.id, id);
    const Event exited = Expect(wire::kExited);
    EXPECT_EQ(exited.header.id, id);
    EXPECT_EQ(exited.header.a, spawned.header.a);
    return exited.header.b;
  }
  void Signal(int pid, int signal, int group = 0) {
    Send({.type = wire::kSignal, .id = 9, .a = pid, .b = signal, .c = group, .payload_bytes = 0});
  }
};

TEST_F(InitTest, ReportsExitStatusExactly) {
  START_CELL();
  for (const int code : {0, 1, 77, 126, 127, 255}) {
    const int status = StatusOf({"/bin/sh", "-c", "exit " + std::to_string(code)});
    EXPECT_TRUE(WIFEXITED(status));
    EXPECT_EQ(WEXITSTATUS(status), code);
  }
  for (const int signal : {SIGKILL, SIGTERM, SIGSEGV, SIGPIPE}) {
    const int status = StatusOf({"/bin/sh", "-c", "kill -" + std::to_string(signal) + " $$"});
    EXPECT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), signal);
  }
}

TEST_F(InitTest, ChildHasOnlyItsThreeStreams) {
  START_CELL();
  EXPECT_EQ(Run({InsidePath(), "fds"}), "0\n1\n2\n");
}

TEST_F(InitTest, StreamsThatAreNotGivenAreTheNullDevice) {
  START_CELL();
  EXPECT_EQ(Run({"/bin/sh", "-c", "readlink /proc/self/fd/0 /proc/self/fd/2; wc -c"}),
            "/dev/null\n/dev/null\n0\n");
}

TEST_F(InitTest, GivenStreamsKeepTheirOrder) {
  START_CELL();
  Output input = MakeOutput(), output = MakeOutput(), error = MakeOutput();
  ASSERT_EQ(write(input.write.get(), "abc", 3), 3);
  Spawn({.argv = {"/bin/sh", "-c", "cat; echo wrong >&2"},
         .flags = wire::kSpawnStdinGiven | wire::kSpawnStdoutGiven | wire::kSpawnStderrGiven,
         .streams = {input.read.get(), output.write.get(), error.write.get()}});
  input.read.Reset();
  input.write.Reset();
  output.write.Reset();
  error.write.Reset();
  EXPECT_EQ(ReadAll(output.read), "abc");
  EXPECT_EQ(ReadAll(error.read), "wrong\n");
}

TEST_F(InitTest, CommandHasTheTerminalAsItsOwn) {
  START_CELL();
  Spawn(
      {.argv = {"/bin/sh", "-c",
                "tty; stty size; ps -o sid=,tpgid= -p $$ >/dev/null 2>&1; echo $$; "
                "exec 3</dev/tty && echo controls; cat /proc/self/stat | cut -d' ' -f6"},
       .flags = wire::kSpawnStdinTerminal | wire::kSpawnStdoutTerminal | wire::kSpawnStderrTerminal,
       .rows = 33,
       .columns = 111});
  const Event spawned = Expect(wire::kSpawned);
  const Event terminal = Expect(wire::kTerminal);
  EXPECT_EQ(terminal.header.id, spawned.header.id);
  ASSERT_EQ(terminal.fds.size(), 1U);
  const std::string pid = std::to_string(spawned.header.a);
  EXPECT_EQ(ReadAll(terminal.fds[0]),
            "/dev/pts/0\r\n33 111\r\n" + pid + "\r\ncontrols\r\n" + pid + "\r\n");
  EXPECT_EQ(Expect(wire::kExited).header.b, 0);
}

TEST_F(InitTest, TerminalTurnsControlCIntoASignal) {
  START_CELL();
  Spawn({.argv = {"/bin/sh", "-c", "echo ready; exec sleep 1000"},
         .flags = wire::kSpawnStdinTerminal | wire::kSpawnStdoutTerminal});
  Expect(wire::kSpawned);
  const Event terminal = Expect(wire::kTerminal);
  ASSERT_EQ(terminal.fds.size(), 1U);
  ReadUntil(terminal.fds[0], "ready");
  ASSERT_EQ(write(terminal.fds[0].get(), "\x03", 1), 1);
  const int status = Expect(wire::kExited).header.b;
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
}

TEST_F(InitTest, FailedExecNamesItsErrnoThenExits) {
  START_CELL();
  struct Case {
    std::string program;
    int code, status;
  };
  const Case cases[] = {{"/nonexistent/x", ENOENT, 127},
                        {"/etc/passwd", EACCES, 126},
                        {"/", EACCES, 126},
                        {"/etc/passwd/x", ENOTDIR, 126},
                        {"no-such-program-at-all", ENOENT, 127},
                        {std::string(300, 'x'), ENAMETOOLONG, 126}};
  for (const Case& c : cases) {
    const std::uint32_t id = Spawn({.argv = {c.program}});
    const Event spawned = Expect(wire::kSpawned);
    const Event failed = Expect(wire::kExecFailed);
    EXPECT_EQ(failed.header.id, id);
    EXPECT_EQ(failed.header.a, spawned.header.a);
    EXPECT_EQ(failed.header.b, c.code) << c.program;
    EXPECT_EQ(failed.header.c, wire::kStepExec);
    EXPECT_EQ(WEXITSTATUS(Expect(wire::kExited).header.b), c.status);
  }
}

TEST_F(InitTest, MissingWorkingDirectoryIsToldFromAFailedExec) {
  START_CELL();
  Spawn({.argv = {"/bin/true"}, .directory = "/nonexistent"});
  Expect(wire::kSpawned);
  const Event failed = Expect(wire::kExecFailed);
  EXPECT_EQ(failed.header.b, ENOENT);
  EXPECT_EQ(failed.header.c, wire::kStepWorkingDirectory);
  EXPECT_EQ(WEXITSTATUS(Expect(wire::kExited).header.b), 126);
}

TEST_F(InitTest, StartsInTheWorkingDirectoryWithExactlyTheGivenStrings) {
  START_CELL();
  Output output = MakeOutput();
  // argv[0] is not the program; empty and binary strings stay what they are.
  Spawn({.argv = {"name", "cmdline", "environ", "", "\xff\xfe"},
         .program = "/bin/cat",
         .directory = "/proc/self",
         .environment = {"A=1", "EMPTY=", "odd", "A=2"},
         .flags = wire::kSpawnStdoutGiven,
         .streams = {output.write.get()}});
  output.write.Reset();
  using namespace std::string_literals;
  EXPECT_EQ(ReadAll(output.read), "name\0cmdline\0environ\0\0\xff\xfe\0A=1\0EMPTY=\0odd\0A=2\0"s);
  Expect(wire::kSpawned);
  Expect(wire::kExited);
}

TEST_F(InitTest, LooksForProgramsInPathOfTheGivenEnvironment) {
  START_CELL();
  const auto status = [this](std::vector<std::string> environment) {
    Spawn({.argv = {"true"}, .environment = std::move(environment)});
    Expect(wire::kSpawned);
    Event event = Next();
    if (event.header.type == wire::kExecFailed) {
      Expect(wire::kExited);
      return event.header.b;
    }
    return 0;
  };
  EXPECT_EQ(status({"PATH=/nonexistent:/bin"}), 0);
  EXPECT_EQ(status({"PATH=/etc/passwd:/usr/bin:/bin"}), 0);
  EXPECT_EQ(status({"PATH=/nonexistent"}), ENOENT);
  EXPECT_EQ(status({"PATH="}), ENOENT);
  EXPECT_EQ(status({}), 0) << "without PATH the usual directories are searched";
  EXPECT_EQ(status({"PATH=" + std::string(5000, 'x') + ":/bin"}), 0);
}

TEST_F(InitTest, GivesAScriptWithoutInterpreterToTheShell) {
  START_CELL();
  const std::string directory = Run({"/bin/sh", "-c",
                                     "d=$(mktemp -d) && printf 'echo \"$0 $1\"' > $d/s && "
                                     "chmod +x $d/s && printf %s $d"});
  EXPECT_EQ(Run({directory + "/s", "argument"}), directory + "/s argument\n");
  Run({"/bin/rm", "-r", directory});
}

TEST_F(InitTest, ChildStartsWithDefaultSignals) {
  START_CELL();
  const std::string status = Run({"/bin/cat", "/proc/self/status"});
  EXPECT_THAT(status, HasSubstr("SigBlk:\t0000000000000000\n"));
  EXPECT_THAT(status, HasSubstr("SigIgn:\t0000000000000000\n"));
  EXPECT_THAT(status, HasSubstr("Seccomp:\t2\n"));
  EXPECT_THAT(status, HasSubstr("NoNewPrivs:\t1\n"));
  EXPECT_THAT(status, HasSubstr("CapEff:\t0000000000000000\n"));
}

TEST_F(InitTest, ChildCannotHaveAsManyFilesAsInit) {
  START_CELL();
  rlimit mine{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &mine), 0);
  const rlim_t hard = mine.rlim_max - std::min<rlim_t>(mine.rlim_max / 4, wire::kReservedFiles);
  EXPECT_EQ(Run({InsidePath(), "file-limit"}),
            std::to_string(std::min(mine.rlim_cur, hard)) + ' ' + std::to_string(hard) + '\n');
}

TEST_F(InitTest, MainCommandsEndIsTheCellsEnd) {
  START_CELL();
  Output output = MakeOutput();
  const std::uint32_t other = Spawn({.argv = {"/bin/sleep", "1000"},
                                     .flags = wire::kSpawnStdoutGiven,
                                     .streams = {output.write.get()}});
  output.write.Reset();
  EXPECT_EQ(Expect(wire::kSpawned).header.id, other);
  const std::uint32_t id = Spawn({.argv = {"/bin/sh", "-c", "exit 3"}, .flags = wire::kSpawnMain});
  EXPECT_EQ(Expect(wire::kSpawned).header.id, id);
  const Event exited = Expect(wire::kExited);
  EXPECT_EQ(exited.header.id, id);
  EXPECT_EQ(WEXITSTATUS(exited.header.b), 3);
  EXPECT_TRUE(HasEnded());
  EXPECT_EQ(WaitForInit(), 0);
  EXPECT_EQ(ReadAll(output.read), "");  // its last holder has gone
}

TEST_F(InitTest, FailedMainExecEndsTheCellToo) {
  START_CELL();
  Spawn({.argv = {"/nonexistent"}, .flags = wire::kSpawnMain});
  Expect(wire::kSpawned);
  Expect(wire::kExecFailed);
  EXPECT_EQ(WEXITSTATUS(Expect(wire::kExited).header.b), 127);
  EXPECT_TRUE(HasEnded());
}

TEST_F(InitTest, EndOfFileKillsDaemonsThatLeftEverything) {
  START_CELL();
  Output output = MakeOutput();
  Spawn({.argv = {"/bin/sh", "-c",
                  "(setsid sh -c 'trap \"\" HUP INT TERM QUIT; (trap \"\" HUP TERM; echo ready; "
                  "sleep 1000; echo survived) & wait' &)"},
         .flags = wire::kSpawnStdoutGiven,
         .streams = {output.write.get()}});
  output.write.Reset();
  Expect(wire::kSpawned);
  EXPECT_EQ(ReadUntil(output.read, "ready"), "ready\n");
  EXPECT_EQ(Expect(wire::kExited).header.b, 0);
  pollfd still_open{.fd = output.read.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(poll(&still_open, 1, 0), 0) << "the daemon has outlived its parents";
  CloseControl();
  EXPECT_EQ(ReadAll(output.read), "");
  EXPECT_EQ(WaitForInit(), 0);
}

TEST_F(InitTest, ReapsOrphansInSilence) {
  START_CELL();
  Output output = MakeOutput();
  Spawn({.argv = {"/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do (sh -c 'exit 4' &); done"},
         .flags = wire::kSpawnStdoutGiven,
         .streams = {output.write.get()}});
  output.write.Reset();
  EXPECT_EQ(ReadAll(output.read), "");
  Expect(wire::kSpawned);
  Expect(wire::kExited);
  EXPECT_EQ(Run({InsidePath(), "zombies"}), "none\n");  // and Run saw no other report
}

TEST_F(InitTest, DoesNotReportOrSignalChildrenThatSomebodyGaveIt) {
  START_CELL();
  const std::string foreign = Run({InsidePath(), "clone-parent"});
  EXPECT_GT(std::stoi(foreign), 1);
  EXPECT_EQ(Run({InsidePath(), "zombies"}), "none\n");
  // Not on record: an order to signal it, or init itself, is without effect.
  Signal(std::stoi(foreign), SIGKILL);
  Signal(1, SIGKILL);
  Signal(-1, SIGKILL);
  Signal(0, SIGKILL);
  EXPECT_EQ(Run({"/bin/echo", "alive"}), "alive\n");
}

TEST_F(InitTest, SignalsAProcessOrItsGroup) {
  START_CELL();
  Spawn({.argv = {"/bin/sleep", "1000"}});
  const int pid = Expect(wire::kSpawned).header.a;
  Signal(pid, SIGUSR1);
  int status = Expect(wire::kExited).header.b;
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);

  Output output = MakeOutput();
  Spawn({.argv = {"/bin/sh", "-c", "sleep 1000 & echo ready; wait"},
         .flags = wire::kSpawnStdoutGiven,
         .streams = {output.write.get()}});
  output.write.Reset();
  const int leader = Expect(wire::kSpawned).header.a;
  ReadUntil(output.read, "ready");
  Signal(leader, SIGTERM, 1);
  EXPECT_EQ(ReadAll(output.read), "");  // the sleep has gone as well
  status = Expect(wire::kExited).header.b;
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST_F(InitTest, ReportsStopAndContinuation) {
  START_CELL();
  const std::uint32_t id = Spawn({.argv = {"/bin/sleep", "1000"}});
  const int pid = Expect(wire::kSpawned).header.a;
  Signal(pid, SIGSTOP);
  const Event stopped = Expect(wire::kStopped);
  EXPECT_EQ(stopped.header.id, id);
  EXPECT_EQ(stopped.header.a, pid);
  EXPECT_EQ(stopped.header.b, SIGSTOP);
  Signal(pid, SIGCONT);
  EXPECT_EQ(Expect(wire::kStopped).header.b, 0);
  Signal(pid, SIGKILL);
  EXPECT_EQ(WTERMSIG(Expect(wire::kExited).header.b), SIGKILL);
}

TEST_F(InitTest, ManyChildrenAtOnceAreAllReported) {
  START_CELL();
  constexpr int kCount = 200;
  std::vector<std::uint32_t> open;
  open.reserve(kCount);
  for (int i = 0; i < kCount; i++) open.push_back(Spawn({.argv = {"/bin/true"}}));
  for (int events = 0; events < 2 * kCount; events++) {
    const Event event = Next();
    if (event.header.type == wire::kExited) {
      EXPECT_EQ(event.header.b, 0);
      std::erase(open, event.header.id);
    } else {
      ASSERT_EQ(event.header.type, wire::kSpawned) << event.header.b;
    }
  }
  EXPECT_TRUE(open.empty());
}

// What a process of the cell can do to init. First to a process of its own uid that does not
// protect itself: each of the attacks works there.
void ExpectExposed(const std::string& facts) {
  EXPECT_THAT(facts, HasSubstr("pidfd_getfd 0 ok\n"));
  EXPECT_THAT(facts, HasSubstr("mem ok\n"));
  EXPECT_THAT(facts, HasSubstr("environ ok\n"));
  EXPECT_THAT(facts, HasSubstr("exe ok\n"));
  EXPECT_THAT(facts, HasSubstr("seize ok\n"));
}
void ExpectHidden(const std::string& facts) {
  EXPECT_THAT(facts, HasSubstr("pidfd_open ok\n"));
  EXPECT_THAT(facts, HasSubstr("pidfd_getfd 0 EPERM\n"));
  EXPECT_THAT(facts, HasSubstr("pidfd_getfd 3 EPERM\n"));
  EXPECT_THAT(facts, HasSubstr("mem EACCES\n"));
  EXPECT_THAT(facts, HasSubstr("fd EACCES\n"));
  EXPECT_THAT(facts, HasSubstr("environ EACCES\n"));
  EXPECT_THAT(facts, HasSubstr("exe EACCES\n"));
  EXPECT_THAT(facts, HasSubstr("process_vm_readv EPERM\n"));
  EXPECT_THAT(facts, HasSubstr("seize EPERM\n"));
}

TEST_F(InitTest, CannotBeInspectedTracedOrRobbedFromInside) {
  START_CELL();
  Spawn({.argv = {"/bin/sleep", "1000"}});
  const int victim = Expect(wire::kSpawned).header.a;
  // Its exec must be over: until then it is as hidden as init.
  while (Run({"/bin/cat", "/proc/" + std::to_string(victim) + "/comm"}) != "sleep\n") {
  }
  ExpectExposed(Run({InsidePath(), "attack", std::to_string(victim)}));
  ExpectHidden(Run({InsidePath(), "attack", "1"}));
}

TEST_F(InitTest, UnreadableCopyIsHiddenAsWell) {
  StartInit({.hidden_file = true});
  if (IsSkipped() || HasFatalFailure()) return;
  ExpectHidden(Run({InsidePath(), "attack", "1"}));
}

TEST_F(InitTest, IgnoresSignalsFromInside) {
  START_CELL();
  Run({"/bin/sh", "-c", "for s in KILL STOP TERM INT HUP CHLD USR1 TSTP; do kill -$s 1; done"});
  EXPECT_EQ(Run({"/bin/echo", "alive"}), "alive\n");
}

}  // namespace
}  // namespace cellrun::shim
