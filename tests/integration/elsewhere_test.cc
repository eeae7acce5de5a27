// SPDX-License-Identifier: Apache-2.0
// `run: mirror` and `run: ghost`: what a person or a program sees of a command must not depend on
// where it runs.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/integration/elsewhere_corpus.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class ElsewhereTest : public Sandbox {
 protected:
  // bash runs in place, everything else as `run` says.
  std::string Profile(const std::string& run, const std::string& more = "") {
    return WriteProfile(
        "cellrun: 1\nname: elsewhere\nextends: [base]\ncommands:\n  default: allow\n"
        "  rules:\n    - {when: {exe: bash}, then: allow}\n"
        "    - {when: {exe: '/usr/**'}, then: allow, run: " +
        run + "}\n" + more);
  }
  Options With(const std::string& run) {
    return {.profile = Profile(run), .time_limit = std::chrono::seconds(60)};
  }
  // Each script's output, error and status, one below the other.
  std::string RunCorpus(const std::string& run, std::size_t first, std::size_t last) {
    const std::string here = Work("case");
    std::string all;
    for (std::size_t i = first; i < last; ++i)
      Write(Work("scripts/" + std::to_string(i)), kCorpus[i]);
    Write(Work("drive"), "for i in $(seq " + std::to_string(first) + " " +
                             std::to_string(last - 1) +
                             "); do\n rm -rf case; mkdir case; mkdir -p out; cd case\n"
                             " s=$(<../scripts/$i)\n"
                             " bash -c \"$s\" bash </dev/null >../out/$i.out 2>../out/$i.err\n"
                             " echo $? >../out/$i.status; cd ..\ndone\necho finished\n");
    const Outcome outcome = Run({"bash", "drive"}, With(run));
    EXPECT_THAT(outcome.out, HasSubstr("finished")) << outcome;
    return outcome.out;
  }
  std::string ResultOf(std::size_t i) {
    const std::string base = Work("out/" + std::to_string(i));
    return "out: " + Read(base + ".out") + "\nerr: " + Read(base + ".err") +
           "\nstatus: " + Read(base + ".status");
  }
  void Compare(const std::string& run, std::size_t first, std::size_t last) {
    RunCorpus("in-place", first, last);
    std::vector<std::string> native;
    for (std::size_t i = first; i < last; ++i) native.push_back(ResultOf(i));
    Shell("rm -rf out", {.profile = OpenProfile()});
    ASSERT_FALSE(Exists(Work("out")));
    RunCorpus(run, first, last);
    for (std::size_t i = first; i < last; ++i)
      EXPECT_EQ(ResultOf(i), native[i - first]) << run << " of: " << kCorpus[i];
  }
  static constexpr std::size_t kCases = std::size(kCorpus);

  Command Bash(const Options& options) {
    Write(Work("rc"), "PS1='<$((40+2))> '\nbind 'set enable-bracketed-paste off' 2>/dev/null\n");
    return CellrunCommand(RunArguments({"bash", "--rcfile", "rc", "-i"}, options), options);
  }
};

TEST_F(ElsewhereTest, TheCorpusHasTwoHundredCommands) {
  EXPECT_GE(kCases, 200U);
}
// In four parts, so that each ends in time on a slow machine.
TEST_F(ElsewhereTest, MirroredCommandsAreLikeNativeOnes1) {
  Compare("mirror", 0, kCases / 4);
}
TEST_F(ElsewhereTest, MirroredCommandsAreLikeNativeOnes2) {
  Compare("mirror", kCases / 4, kCases / 2);
}
TEST_F(ElsewhereTest, MirroredCommandsAreLikeNativeOnes3) {
  Compare("mirror", kCases / 2, 3 * kCases / 4);
}
TEST_F(ElsewhereTest, MirroredCommandsAreLikeNativeOnes4) {
  Compare("mirror", 3 * kCases / 4, kCases);
}
TEST_F(ElsewhereTest, GhostedCommandsAreLikeNativeOnes1) {
  Compare("ghost", 0, kCases / 4);
}
TEST_F(ElsewhereTest, GhostedCommandsAreLikeNativeOnes2) {
  Compare("ghost", kCases / 4, kCases / 2);
}
TEST_F(ElsewhereTest, GhostedCommandsAreLikeNativeOnes3) {
  Compare("ghost", kCases / 2, 3 * kCases / 4);
}
TEST_F(ElsewhereTest, GhostedCommandsAreLikeNativeOnes4) {
  Compare("ghost", 3 * kCases / 4, kCases);
}

class ElsewhereTerminalTest : public ElsewhereTest,
                              public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Run, ElsewhereTerminalTest, testing::Values("mirror", "ghost"),
                         [](const auto& run) { return std::string(run.param); });

TEST_P(ElsewhereTerminalTest, JobsObeyTheTerminal) {
  // Not the programs that the job starts: what is typed goes to whichever has the terminal.
  Options options{.profile = WriteProfile(
                      "cellrun: 1\nname: jobs\nextends: [base]\ncommands:\n  default: allow\n"
                      "  rules:\n    - {when: {exe: [sh, cat]}, then: allow, run: " +
                      std::string(GetParam()) + "}\n")};
  Terminal terminal(Bash(options));
  ASSERT_TRUE(terminal.Expect("<42> "));
  Write(Work("job"),
        // Starts nothing: one that is stopped between vfork and exec cannot stop its parent.
        "trap 'echo continued=$((1+1))' CONT; echo up=$((1+1)); while :; do :; done\n");
  terminal.Send("sh job\n");
  ASSERT_TRUE(terminal.Expect("up=2"));
  terminal.Send("\x1a");
  ASSERT_TRUE(terminal.Expect("Stopped"));
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("fg\n");
  ASSERT_TRUE(terminal.Expect("continued=2"));
  terminal.Send("\x03");
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("echo $((128 + 2))=$?\n");
  ASSERT_TRUE(terminal.Expect("130=130"));
  // A background job that reads its terminal stops, and reads on in the foreground.
  terminal.Send("cat &\n");
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("until jobs | grep -q Stopped; do :; done; echo it=$((1+1))\n");
  ASSERT_TRUE(terminal.Expect("it=2"));
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("fg\n");
  ASSERT_TRUE(terminal.Expect("cat\r\n"));
  terminal.Send("typed\n");
  ASSERT_TRUE(terminal.Expect("typed\r\ntyped"));
  terminal.Send("\x04");
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("exit 5\n");
  EXPECT_EQ(terminal.Wait().status, 5);
  EXPECT_TRUE(terminal.IsCooked()) << "the caller's terminal is as it was";
}

TEST_F(ElsewhereTest, TheCallersStopsAreTheCommands) {
  // SIGSTOP and SIGTSTP of the process that asked stop what runs for it, SIGCONT lets it go on.
  for (const std::string run : {"mirror", "ghost"}) {
    for (const std::string stop : {"TSTP", "STOP"}) {
      Write(Work("beat"), "while :; do echo >> count; done\n");
      Options options{.profile = WriteProfile(
                          "cellrun: 1\nname: stops\nextends: [base]\ncommands:\n  default: allow\n"
                          "  rules:\n    - {when: {exe: sh, args: [beat]}, then: allow, run: " +
                          run + "}\n"),
                      .hold_input = true};
      Shell("rm -f count", {.profile = OpenProfile()});
      Process cell =
          Start({"bash", "-c",
                 "set -m; sh beat & pid=$!; until test -s count; do :; done; kill -" + stop +
                     " $pid; echo stopped; read -r line; kill -CONT $pid; echo "
                     "continued; read -r line; kill -KILL $pid"},
                options);
      ASSERT_TRUE(cell.WaitForOutput("stopped")) << run << stop;
      // Twice the same size, a while apart.
      std::size_t last = 0;
      EXPECT_TRUE(Until([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        const std::size_t now = Read(Work("count")).size();
        return std::exchange(last, now) == now;
      })) << run
          << stop;
      cell.Write("go on\n");
      ASSERT_TRUE(cell.WaitForOutput("continued"));
      EXPECT_TRUE(Until([&] { return Read(Work("count")).size() > last; })) << run << stop;
      cell.Write("end\n");
      cell.Wait();
    }
  }
}

TEST_P(ElsewhereTerminalTest, CommandsSeeTheWindowsSize) {
  Options options = With(GetParam());
  Terminal terminal(Bash(options), 31, 97);
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("stty size\n");
  ASSERT_TRUE(terminal.Expect("31 97"));
  ASSERT_TRUE(terminal.Expect("<42> "));  // what is typed before would be that command's
  Write(Work("watch"), "trap 'stty size' WINCH; echo up=$((1+1)); while :; do sleep 0.02; done\n");
  terminal.Send("sh watch\n");
  ASSERT_TRUE(terminal.Expect("up=2"));
  terminal.Resize(40, 120);
  ASSERT_TRUE(terminal.Expect("40 120"));
  terminal.Send("\x03");
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("exit\n");
  terminal.Wait();
}

TEST_F(ElsewhereTest, KillingTheCallerKillsEveryDescendant) {
  // The first is in a session of its own, the second has lost its parent as well.
  for (const std::string run : {"mirror", "ghost"}) {
    Write(Work("tree"),
          "setsid sh -c 'while :; do touch beat1; sleep 0.02; done' &\n"
          "(setsid sh -c 'while :; do touch beat2; sleep 0.02; done' &)\n"
          "while :; do touch beat3; sleep 0.02; done\n");
    Write(Work("drive"),
          "sh tree & pid=$!\n"
          "until [ -e beat1 ] && [ -e beat2 ] && [ -e beat3 ]; do sleep 0.02; done\n"
          "kill -9 $pid; wait $pid; echo status=$?\n"
          "quiet=0; for i in $(seq 300); do rm -f beat1 beat2 beat3; sleep 0.1\n"
          " ls beat? >/dev/null 2>&1 || { quiet=1; break; }; done\necho quiet=$quiet\n");
    // Only `sh tree` runs elsewhere: the rest looks at it from the outside.
    Options options{.profile = WriteProfile(
                        "cellrun: 1\nname: kill\nextends: [base]\ncommands:\n  default: allow\n"
                        "  rules:\n    - {when: {exe: sh, args: [tree]}, then: allow, run: " +
                        run + "}\n")};
    const Outcome outcome = Run({"bash", "drive"}, options);
    EXPECT_THAT(outcome.out, HasSubstr("status=137")) << outcome;
    EXPECT_THAT(outcome.out, HasSubstr("quiet=1")) << run << outcome;
  }
}

TEST_F(ElsewhereTest, AStreamIsPassedToTheLastByteAndTakesNoMemory) {
  // Directly, and through the broker where secrets have to be taken out.
  const char* const races = getenv("CELLRUN_RACES");  // NOLINT(concurrency-mt-unsafe)
  const bool whole = races != nullptr && std::stoul(races) >= 100'000;
  const std::string bytes = whole ? "10000000000" : "1000000000";
  Options options{.profile = WriteProfile(
                      "cellrun: 1\nname: stream\nextends: [base]\n"
                      "secrets: [{name: TOKEN, from: 'command:echo never-in-it'}]\n"
                      "commands:\n  default: allow\n  rules:\n"
                      "    - {when: {exe: cat, args: ['-u']}, then: allow, run: ghost, ghost: "
                      "{secrets: [TOKEN]}}\n"
                      "    - {when: {exe: cat}, then: allow, run: mirror}\n"),
                  .time_limit = std::chrono::seconds(whole ? 600 : 60)};
  const pid_t broker = StartBroker();
  const auto peak = [&] {
    const std::string status = Read("/proc/" + std::to_string(broker) + "/status");
    const std::size_t at = status.find("VmHWM:");
    return at == std::string::npos ? 0 : std::stoul(status.substr(at + 6));
  };
  const auto pass = [&](const std::string& through, const std::string& size) {
    return Shell("source() { yes 'no two lines of it differ' | head -c " + size + "; }; source | " +
                     through + " | cmp - <(source) && echo same",
                 options)
        .out;
  };
  EXPECT_EQ(pass("cat", "1000"), "same\n");
  EXPECT_EQ(pass("cat -u", "1000"), "same\n");
  const std::size_t before = peak();
  ASSERT_GT(before, 0U);
  EXPECT_EQ(pass("cat", bytes), "same\n");
  EXPECT_EQ(pass("cat -u", whole ? "1000000000" : "100000000"), "same\n");
  EXPECT_LT(peak(), before + 16 * 1024) << "kB";
}

TEST_F(ElsewhereTest, VariablesThatLoadCodeDoNotCross) {
  const std::string script =
      "LD_PRELOAD=/x BASH_ENV=/x PYTHONPATH=/x GIT_SSH_COMMAND=x KEPT=1 env 2>/dev/null";
  // In place they do.
  EXPECT_THAT(Shell(script, {.profile = OpenProfile()}).out, HasSubstr("BASH_ENV=/x"));
  for (const std::string run : {"mirror", "ghost"}) {
    const Outcome outcome = Shell(script, With(run));
    EXPECT_THAT(outcome.out, HasSubstr("KEPT=1")) << outcome;
    for (const char* name : {"LD_PRELOAD", "BASH_ENV", "PYTHONPATH", "GIT_SSH_COMMAND"})
      EXPECT_THAT(outcome.out, Not(HasSubstr(name))) << run;
  }
}

TEST_F(ElsewhereTest, RunsWhereFewFilesMayBeOpen) {
  // In place too: what a command gets is no more.
  for (const std::string run : {"in-place", "mirror", "ghost"}) {
    const Outcome outcome = Shell(
        "sh -c 'ulimit -n; cat <&7' 7<<<seven",
        {.profile = WriteProfile("cellrun: 1\nname: few\nextends: [base]\nlimits: {files: 24}\n"
                                 "commands:\n  default: allow\n  rules:\n"
                                 "    - {when: {exe: sh}, then: allow, run: " +
                                 run + "}\n")});
    EXPECT_EQ(outcome.out, "24\nseven\n") << run << outcome;
  }
}

TEST_F(ElsewhereTest, AGhostSeesNothingOfItsCallerButTheWorkspace) {
  const Outcome outcome = Shell(
      "echo agent > /tmp/secret; sleep 60 & pid=$!\n"
      "cat /tmp/secret; ps ax -o args | grep -c '[s]leep 60'; touch made; kill $pid; stat -c %U "
      "made",
      With("ghost"));
  EXPECT_THAT(outcome.err, HasSubstr("/tmp/secret: No such file")) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("0\n")) << outcome;
  struct stat facts {};
  ASSERT_EQ(stat(Work("made").c_str(), &facts), 0);
  EXPECT_EQ(facts.st_uid, geteuid()) << "what it makes belongs to the caller";
}

TEST_F(ElsewhereTest, AGhostWritesWhereItsRuleSays) {
  const std::string place = Path("granted");
  ASSERT_EQ(mkdir(place.c_str(), 0755), 0);
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: write\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
      "    - {when: {exe: touch}, then: allow, run: ghost, ghost: {write: ['" +
      place + "']}}\n");
  const Outcome outcome =
      Shell("touch " + place + "/made; echo $?; echo x > " + place + "/mine; echo $?",
            {.profile = profile});
  EXPECT_EQ(outcome.out, "0\n1\n") << outcome;
  EXPECT_TRUE(Exists(place + "/made"));
  EXPECT_FALSE(Exists(place + "/mine"));
}

TEST_F(ElsewhereTest, TheFloorOfHideHoldsInAGhost) {
  Write(Work(".env"), "TOKEN=1\n");
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: hide\nextends: [base]\nfilesystem: {hide: [.env]}\ncommands:\n"
      "  default: allow\n  rules: [{when: {exe: cat}, then: allow, run: ghost}]\n");
  EXPECT_EQ(Shell("cat .env; echo end", {.profile = profile}).out, "end\n");
}

TEST_F(ElsewhereTest, PsSaysWhoseGhostACellIs) {
  Options options = With("ghost");
  options.flags = {"--name", "the-caller"};
  Process cell = Start({"bash", "-c", "sh -c 'touch up; exec sleep 100'"}, options);
  ASSERT_TRUE(Until([&] { return Exists(Work("up")); }));
  const Outcome listed = Cellrun({"ps"});
  EXPECT_THAT(listed.out, testing::ContainsRegex("elsewhere +running +the-caller ")) << listed;
  EXPECT_THAT(listed.out, testing::ContainsRegex("the-caller +[0-9a-f]+ +elsewhere +running +- "));
  cell.Signal(SIGTERM);
  EXPECT_EQ(cell.Wait().status, 128 + SIGTERM);
}

TEST_F(ElsewhereTest, GhostsEndWithTheBroker) {
  // The case fails in its end if a process or a mount is left.
  MayLeaveSockets();
  const pid_t broker = StartBroker();
  Options options = With("ghost");
  Process process = Start({"bash", "-c", "sh -c 'touch up; exec sleep 100'"}, options);
  ASSERT_TRUE(Until([&] { return Exists(Work("up")); }));
  ASSERT_EQ(kill(broker, SIGKILL), 0);
  EXPECT_EQ(process.Wait().status, 125);
}

TEST_F(ElsewhereTest, ToolsAreFoundInPathAndRunInTheirGhost) {
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: tools\nextends: [base]\ntools: [{name: uname}, {name: "
      "nowhere-to-be-found}]\n"
      "commands: {default: allow}\n");
  const Outcome outcome = Shell(
      "echo x > /tmp/mine; which -a uname; /run/cellrun/tools/uname -s; echo $?\n"
      "/run/cellrun/tools/nowhere-to-be-found; echo $?\n"
      "rm -f /run/cellrun/tools/uname 2>/dev/null; echo $?; cp /bin/sh /run/cellrun/tools/new "
      "2>/dev/null; echo $?; mv /run/cellrun/tools /run/cellrun/x 2>/dev/null; echo $?\n",
      {.profile = profile});
  EXPECT_THAT(outcome.out, HasSubstr("/run/cellrun/tools/uname\nLinux\n0\n127\n1\n1\n1\n"))
      << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("the tool nowhere-to-be-found is in no directory")) << outcome;
}

TEST_F(ElsewhereTest, ToolsComeAndGoWhileTheCellRuns) {
  Write(Path("token"), "added-s3cr3t\n", 0600);
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: tools\nextends: [base]\ntools: [{name: uname}]\n"
      "secrets: [{name: TOKEN, from: 'file:" +
      Path("token") + "'}]\ncommands: {default: allow}\n");
  Options options{.profile = profile, .flags = {"--name", "busy-bee"}, .hold_input = true};
  // A shell that forgets where it found things; the tool is one that PATH has nowhere else.
  Process cell =
      Start({"bash", "-c", "while read -r line; do hash -r; eval \"$line\"; done 2>&1"}, options);
  const auto say = [&](const std::string& line, const std::string& expected) {
    static int number = 0;
    const std::string mark = "done" + std::to_string(++number) + "=";
    const std::size_t before = cell.out().size();
    cell.Write(line + "; echo " + mark + "$?\n");
    ASSERT_TRUE(cell.WaitForOutput(mark)) << line;
    EXPECT_THAT(cell.out().substr(before), HasSubstr(expected)) << line;
  };
  say("which visible-tool", "=1\n");
  const auto cellrun = [&](const Words& words, int status) {
    const Outcome outcome = Cellrun(words);
    EXPECT_EQ(outcome.status, status) << outcome;
    return outcome;
  };
  // A program of the host that no directory of PATH in the cell has under this name.
  const std::string root = Path("root");
  ASSERT_EQ(
      Bare({"bash", "-c",
            "set -e; r='" + root +
                "'; mkdir -p $r/usr/bin $r/usr/lib $r/etc; cp -a /lib $r/ "
                "2>/dev/null || true; cp -L /bin/dash $r/usr/bin/sh; printf "
                "'#!/usr/bin/sh\\necho ran ${#TOKEN} \"$@\"; echo $TOKEN\\n' > "
                "$r/usr/bin/visible-tool; chmod 755 $r/usr/bin/visible-tool; for l in $(ldd "
                "/bin/dash | grep -o '/[^ ]*'); do mkdir -p $r$(dirname $l); cp -L $l $r$l; done"})
          .status,
      0);
  cellrun({"tool", "add", "busy-bee", "visible-tool", "--image", root, "--secret", "TOKEN"}, 0);
  say("which visible-tool", "/run/cellrun/tools/visible-tool\n");
  say("visible-tool a", "ran 12 a\n***\n");
  EXPECT_THAT(cellrun({"tool", "ls", "busy-bee", "-o", "name"}, 0).out,
              testing::AllOf(HasSubstr("uname\n"), HasSubstr("visible-tool\n")));
  EXPECT_THAT(cellrun({"tool", "ls", "busy-bee"}, 0).out, HasSubstr("tool add"));
  // What cannot be added changes nothing.
  cellrun({"tool", "add", "busy-bee", "visible-tool"}, 1);
  cellrun({"tool", "add", "busy-bee", "../x"}, 2);
  cellrun({"tool", "add", "busy-bee", "other", "--secret", "NOWHERE"}, 2);
  cellrun({"tool", "add", "nobody", "other"}, 1);
  cellrun({"tool", "rm", "busy-bee", "never-there"}, 1);
  EXPECT_NE(cellrun({"tool", "add", "busy-bee", "other", "--net", "no host:443"}, 2).err, "");
  say("which other", "=1\n");
  // Both kinds vanish.
  cellrun({"tool", "rm", "busy-bee", "visible-tool", "uname"}, 0);
  say("which visible-tool", "=1\n");
  say("/run/cellrun/tools/visible-tool", "=127\n");
  say("ls /run/cellrun/tools | wc -l", "0\n");
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
  // Nobody else has it.
  EXPECT_EQ(Shell("ls /run/cellrun/tools", {.profile = profile}).out, "uname\n");
}

TEST_F(ElsewhereTest, AToolThatIsAddedHasTheLimitsItIsGiven) {
  const std::string profile =
      WriteProfile("cellrun: 1\nname: tools\nextends: [base]\ncommands: {default: allow}\n");
  Process cell = Start({"bash", "-c", "echo up; read -r line; eval \"$line\""},
                       {.profile = profile, .flags = {"--name", "busy-bee"}, .hold_input = true});
  ASSERT_TRUE(cell.WaitForOutput("up\n"));
  const auto add = [&](const std::string& limit) {
    return Cellrun({"tool", "add", "busy-bee", "bash", "--limit", limit, "--limit", "time=1s"});
  };
  for (const auto& [limit, said] :
       {std::pair{"colour=3", "colour"}, {"processes=0", "processes"}, {"files=many", "files"}}) {
    const Outcome refused = add(limit);
    EXPECT_EQ(refused.status, 2) << refused;
    EXPECT_THAT(refused.err, HasSubstr(said)) << limit;
  }
  const Outcome added = add("files=50");
  ASSERT_EQ(added.status, 0) << added;
  EXPECT_THAT(Cellrun({"tool", "ls", "busy-bee"}).out, HasSubstr("files=50,time=1s"));
  cell.Write(
      "ulimit -n; t=/run/cellrun/tools/bash; $t -c 'ulimit -n'; $t -c 'sleep 100'; echo $?\n");
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out, testing::EndsWith("\n50\n124\n")) << outcome;
  EXPECT_THAT(outcome.out, Not(testing::StartsWith("up\n50\n"))) << "the cell has its own";
}

TEST_F(ElsewhereTest, SecretsAreGivenToTheirGhostOnlyAndTakenOutOfItsOutput) {
  const std::string file = Write(Path("token"), "file-s3cr3t\n", 0600);
  Options options{
      .profile = WriteProfile("cellrun: 1\nname: secrets\nextends: [base]\nsecrets:\n"
                              "  - {name: FROM_ENV, from: 'env:HOST_TOKEN'}\n"
                              "  - {name: FROM_FILE, from: 'file:" +
                              file +
                              "'}\n"
                              "  - {name: FROM_COMMAND, from: 'command:echo command-s3cr3t'}\n"
                              "commands:\n  default: allow\n  rules:\n"
                              "    - {when: {exe: sh}, then: allow, run: ghost,\n"
                              "       ghost: {secrets: [FROM_ENV, FROM_FILE, FROM_COMMAND]}}\n"),
      .environment = {{"HOST_TOKEN", "env-s3cr3t"}}};
  Write(Work("use"),
        "echo ${#FROM_ENV} ${#FROM_FILE} ${#FROM_COMMAND}\n"
        "echo $FROM_ENV; echo $FROM_FILE >&2; printf $FROM_COMMAND | base64; exit 3\n");
  const Outcome outcome = Shell("env | grep -c s3cr3t; sh use; echo status=$?", options);
  EXPECT_EQ(outcome.out.substr(0, outcome.out.find("***\n") + 4), "0\n10 11 14\n***\n") << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("status=3")) << outcome;
  EXPECT_EQ(outcome.err, "***\n") << outcome;
  for (const std::string& text : {outcome.out, outcome.err, Read(Path("state/journal.db"))}) {
    for (const char* secret : {"env-s3cr3t", "file-s3cr3t", "command-s3cr3t"})
      EXPECT_THAT(text, Not(HasSubstr(secret)));
  }
}

TEST_F(ElsewhereTest, ASecretThatIsAnArgumentInItsGhostIsNotRecorded) {
  Options options{.profile = WriteProfile("cellrun: 1\nname: secrets\nextends: [base]\nsecrets:\n"
                                          "  - {name: KEY, from: 'env:HOST_KEY'}\n"
                                          "commands:\n  default: allow\n  rules:\n"
                                          "    - {when: {exe: sh}, then: allow, run: ghost,\n"
                                          "       ghost: {secrets: [KEY]}}\n"),
                  .environment = {{"HOST_KEY", "open-s3same"}}};
  Write(Work("use"), "/bin/echo an-$KEY; env X=$KEY head -n1 $0; cat ./$KEY\n");
  const Outcome outcome = Shell("sh use", options);
  EXPECT_THAT(outcome.out, StartsWith("an-***\n/bin/echo")) << outcome;
  std::string arguments;
  for (const nlohmann::json& record : History()) {
    EXPECT_THAT(record.dump(), Not(HasSubstr("s3same")));
    if (record.value("exe", "") == "/usr/bin/echo" || record.value("exe", "") == "/usr/bin/env")
      arguments += record["argv"].dump();
  }
  EXPECT_EQ(arguments, R"(["/bin/echo","an-***"]["env","X=***","head","-n1","use"])");
}

TEST_F(ElsewhereTest, ASecretMayBeAFileOfItsGhost) {
  std::string contents = "user: x\nkey: file-s3cr3t-line\n\n";
  contents += std::string("\0\xff", 2) + "end-of-s3cr3t\n";
  const std::string file = Write(Path("kube"), contents, 0600);
  Options options{
      .profile = WriteProfile("cellrun: 1\nname: secrets\nextends: [base]\nsecrets:\n"
                              "  - {name: CONFIG, as: file, from: 'file:" +
                              file +
                              "'}\n  - {name: PRINTED, as: file, from: 'command:echo its-s3cr3t'}\n"
                              "commands:\n  default: allow\n  rules:\n"
                              "    - {when: {exe: sh}, then: allow, run: ghost,\n"
                              "       ghost: {secrets: [CONFIG, PRINTED]}}\n")};
  Write(Work("use"),
        "echo $CONFIG; sha256sum < $CONFIG; stat -f -c %T $CONFIG; stat -c %a $CONFIG\n"
        "wc -c < $PRINTED; cat $CONFIG | tr -d '\\000\\377'; cat $PRINTED\n");
  const Outcome outcome = Shell(
      "ls /run/secrets 2>/dev/null; env | grep -c CONFIG; sh use; ls /run/secrets "
      "2>/dev/null; echo status=$?",
      options);
  const std::string sum = Bare({"sha256sum", file}).out.substr(0, 64);
  EXPECT_EQ(outcome.out, "0\n/run/secrets/CONFIG\n" + sum +
                             "  -\ntmpfs\n400\n11\nuser: x\n***\n\nend-of-s3cr3t\n***\nstatus=2\n")
      << outcome;
  EXPECT_THAT(Read(Path("state/journal.db")), Not(HasSubstr("s3cr3t-line")));
  // What it says is in the file is not there afterwards.
  EXPECT_EQ(Bare({"grep", "-rl", "file-s3cr3t-line", Path("run"), Path("state")}).out, "");
}

TEST_F(ElsewhereTest, ASecretThatCannotBeReadIsADenial) {
  const Outcome outcome = Shell(
      "sh -c 'echo never'; echo $?",
      {.profile = WriteProfile("cellrun: 1\nname: none\nextends: [base]\n"
                               "secrets: [{name: TOKEN, from: 'env:NOT_SET'}]\n"
                               "commands: {default: allow, rules: [{when: {exe: sh}, then: allow, "
                               "run: ghost, ghost: {secrets: [TOKEN]}}]}\n")});
  EXPECT_EQ(outcome.out, "126\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("the secret TOKEN cannot be read")) << outcome;
}

TEST_F(ElsewhereTest, TheJournalSaysHowItRanAndEnded) {
  Shell("sh -c 'exit 3'", With("mirror"));
  bool found = false;
  for (const nlohmann::json& record : History()) {
    if (record.value("result", "") == "exit:3") found = record.value("strategy", "") == "mirror";
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace cellrun::test
