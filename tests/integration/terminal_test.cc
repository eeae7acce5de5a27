// SPDX-License-Identifier: Apache-2.0
// A person at a terminal: job control, sizes and signals inside, the output filter outside.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;
using testing::Not;

class TerminalTest : public Sandbox {
 protected:
  Command InCell(const Words& argv, const Options& options = {}) {
    return CellrunCommand(RunArguments(argv, options), options);
  }
  // An interactive shell whose prompt cannot be mistaken for anything typed.
  Command Bash(const Options& options = {}) {
    Write(Work("rc"), "PS1='<$((40+2))> '\nbind 'set enable-bracketed-paste off' 2>/dev/null\n");
    return InCell({"bash", "--rcfile", "rc", "-i"}, options);
  }
};

TEST_F(TerminalTest, GivesBashJobControl) {
  Terminal terminal(Bash());
  ASSERT_TRUE(terminal.Expect("<42> "));
  // The job says when it runs: keys that come before it has the terminal are the shell's.
  Write(Work("job"),
        "trap 'echo continued=$((1+1))' CONT; echo up=$((1+1)); while :; do sleep 0.02; done\n");
  terminal.Send("bash job\n");
  ASSERT_TRUE(terminal.Expect("up=2"));
  terminal.Send("\x1a");  // Ctrl-Z
  ASSERT_TRUE(terminal.Expect("Stopped"));
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("jobs\n");
  ASSERT_TRUE(terminal.Expect("Stopped"));
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("fg\n");
  ASSERT_TRUE(terminal.Expect("continued=2"));
  terminal.Send("\x03");  // Ctrl-C
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("echo $((128 + 2))=$?\n");
  ASSERT_TRUE(terminal.Expect("130=130"));
  terminal.Send("cat | cat &\n");
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("kill %1; wait; echo gone=$((1+1))\n");
  ASSERT_TRUE(terminal.Expect("gone=2"));
  terminal.Send("exit 5\n");
  const Outcome outcome = terminal.Wait();
  EXPECT_EQ(outcome.status, 5) << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr("no job control")));
  EXPECT_TRUE(terminal.IsCooked()) << "the caller's terminal is as it was";
}

TEST_F(TerminalTest, CarriesTheWindowSizeIn) {
  Terminal terminal(Bash(), 31, 97);
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("trap 'echo resized to $(stty size)' WINCH; stty size\n");
  ASSERT_TRUE(terminal.Expect("31 97"));
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Resize(50, 132);
  ASSERT_TRUE(terminal.Expect("resized to 50 132"));
  terminal.Send("exit\n");
  EXPECT_EQ(terminal.Wait().status, 0);
}

TEST_F(TerminalTest, IsATerminalOfTheCellItself) {
  Terminal terminal(Bash());
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("tty; test -t 0 -a -t 1 -a -t 2 && echo three=$((1+2))\n");
  ASSERT_TRUE(terminal.Expect("/dev/pts/"));
  ASSERT_TRUE(terminal.Expect("three=3"));
  terminal.Send("ls /dev/pts | xargs echo pts:\n");
  ASSERT_TRUE(terminal.Expect("pts: 0 ptmx")) << "the host's terminals are not there";
  terminal.Send("exit\n");
  EXPECT_EQ(terminal.Wait().status, 0);
}

TEST_F(TerminalTest, EndOfFileEndsTheShell) {
  Terminal terminal(Bash());
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("\x04");
  EXPECT_EQ(terminal.Wait().status, 0);
}

TEST_F(TerminalTest, HangingUpEndsTheCell) {
  Terminal terminal(Bash());
  ASSERT_TRUE(terminal.Expect("<42> "));
  terminal.Send("trap '' HUP; sleep 1000\n");
  terminal.HangUp();
  const Outcome outcome = terminal.Wait();
  EXPECT_FALSE(outcome.timed_out) << outcome;
  // That nothing of the cell is left is what the sandbox checks.
}

TEST_F(TerminalTest, RestoresTheTerminalWhenItIsTerminated) {
  Terminal terminal(InCell({"bash", "-c", "echo up=$((1+1)); exec sleep 1000"}));
  ASSERT_TRUE(terminal.Expect("up=2"));
  ASSERT_FALSE(terminal.IsCooked()) << "raw while the cell has it";
  kill(terminal.pid(), SIGTERM);
  const Outcome outcome = terminal.Wait();
  EXPECT_EQ(outcome.status, 128 + SIGTERM) << outcome;
  EXPECT_TRUE(terminal.IsCooked());
}

TEST_F(TerminalTest, PassesAnInterruptAndReportsTheSignal) {
  Terminal terminal(InCell({"bash", "-c", "echo ready=$((1+0)); exec sleep 1000"}));
  ASSERT_TRUE(terminal.Expect("ready=1"));
  terminal.Send("\x03");
  EXPECT_EQ(terminal.Wait().status, 128 + SIGINT);
}

TEST_F(TerminalTest, DropsWhatActsBeyondTheScreen) {
  Write(Work("paint"),
        "printf 'a\\033]52;c;aGFja2Vk\\007b\\033[31mred\\033[0m\\033]52;c;aGFj' ; printf "
        "'a2Vk\\033\\\\c'\n"
        "printf '\\033[21td\\033P+q544e\\033\\\\e\\033_x\\033\\\\f\\033^y\\033\\\\g\\n'\n");
  Terminal filtered(InCell({"bash", "paint"}));
  const Outcome outcome = filtered.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr("]52")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("aGFj")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("[21t")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("+q544e")));
  EXPECT_THAT(outcome.out, HasSubstr("ab\x1b[31mred\x1b[0mc"));
  EXPECT_THAT(outcome.out, HasSubstr("defg"));

  Terminal raw(InCell({"bash", "paint"}, {.flags = {"--tty", "raw"}}));
  EXPECT_THAT(raw.Wait().out, HasSubstr("]52;c;aGFja2Vk")) << "--tty raw turns the filter off";
}

TEST_F(TerminalTest, LosesNothingOfALongOutputAtTheEnd) {
  Terminal terminal(InCell({"bash", "-c", "seq 200000; printf 'last%s' word"}));
  const Outcome outcome = terminal.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("\r\n199999\r\n200000\r\nlastword"));
}

TEST_F(TerminalTest, WithoutOneEverythingIsAPipe) {
  const Outcome outcome =
      Shell("test -t 0 || test -t 1 || test -t 2 || echo pipes", {.flags = {"--tty", "auto"}});
  EXPECT_EQ(outcome.out, "pipes\n") << outcome;
  const Outcome forced = Shell("test -t 1 && echo terminal", {.flags = {"--tty", "yes"}});
  EXPECT_THAT(forced.out, HasSubstr("terminal")) << forced;
}

TEST_F(TerminalTest, StandardOutputMayBeAFileWhileInputIsATerminal) {
  const std::string path = Path("out");
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  // Both ways or none: half a terminal would have no echo.
  Command command = InCell({"bash", "-c", "read -r line; test -t 1 || echo got $line"});
  command.stdout_fd = fd;
  Terminal terminal(std::move(command));
  terminal.Send("typed\n");
  EXPECT_EQ(terminal.Wait().status, 0);
  close(fd);
  EXPECT_EQ(Read(path), "got typed\n");
}

}  // namespace
}  // namespace cellrun::test
