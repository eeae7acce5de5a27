// SPDX-License-Identifier: Apache-2.0
// Workspaces and commands that cannot be: a clear message, the documented status, the host as it
// was.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;

class BadStartTest : public Sandbox {
 protected:
  Options Open() { return {.profile = OpenProfile(), .flags = ProbeFlags()}; }
  void ExpectWorkspaceRefused(const std::string& workspace, const std::string& part) {
    Options options = Open();
    options.flags.insert(options.flags.end(), {"--workspace", workspace});
    const Outcome outcome = Run({"touch", "started"}, options);
    EXPECT_EQ(outcome.status, 125) << workspace << ": " << outcome;
    EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: "), HasSubstr(part))) << workspace;
    EXPECT_FALSE(Exists(workspace + "/started"));
  }
};

TEST_F(BadStartTest, RefusesWorkspacesThatAreTooMuchOrNothing) {
  ExpectWorkspaceRefused("/", "/");
  ExpectWorkspaceRefused(Home(), Home());
  ExpectWorkspaceRefused(Work("missing"), "missing");
  ExpectWorkspaceRefused(Write(Work("file"), "x"), "file");
  ExpectWorkspaceRefused("/etc/..", "/");
  ExpectWorkspaceRefused("/proc/self", "/proc");
  ASSERT_EQ(symlink("/", Work("root").c_str()), 0);
  ExpectWorkspaceRefused(Work("root"), "/");
  ASSERT_EQ(symlink("loop", Work("loop").c_str()), 0);
  ExpectWorkspaceRefused(Work("loop"), "loop");
  EXPECT_EQ(Run({"true"}, {.flags = {"--workspace", ""}}).status, 2);
}

TEST_F(BadStartTest, RefusesToWorkInARootOrHomeWithoutBeingAsked) {
  Options options = Open();
  options.directory = "/";
  EXPECT_EQ(Run({"true"}, options).status, 125);
  options.directory = Home();
  EXPECT_EQ(Run({"true"}, options).status, 125);
}

TEST_F(BadStartTest, AsUserRefusesALinkToSomebodyElsesDirectory) {
  ASSERT_EQ(symlink("/root", Work("theirs").c_str()), 0);
  ExpectWorkspaceRefused(Work("theirs"), "/root");
  ASSERT_EQ(symlink("/var/lib/dpkg", Work("roots").c_str()), 0);
  Options options = Open();
  options.flags.insert(options.flags.end(), {"--workspace", Work("roots")});
  const Outcome outcome = Shell("touch started", options);
  EXPECT_NE(outcome.status, 0) << "root's directory is refused, or read-only and said so: "
                               << outcome;
  EXPECT_FALSE(Exists("/var/lib/dpkg/started"));
}

TEST_F(BadStartTest, AsRootMapsAnotherUsersWorkspaceToTheCell) {
  const uid_t theirs = 54321;
  ASSERT_EQ(chown(Work().c_str(), theirs, theirs), 0);
  const Outcome outcome = Shell("touch made && stat -c %u made", Open());
  EXPECT_EQ(outcome.out, "1000\n") << outcome;
  struct stat made {};
  ASSERT_EQ(stat(Work("made").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, theirs);
}

TEST_F(BadStartTest, AWorkspaceThatTheCallerCannotWriteIsReadOnlyAndSaidSo) {
  ASSERT_EQ(chmod(Work().c_str(), 0555), 0);
  const Outcome outcome = Shell("touch made", Open());
  ASSERT_EQ(chmod(Work().c_str(), 0755), 0);
  if (IsRootLane()) {
    EXPECT_EQ(outcome.status, 1) << "mode bits bind the cell's user as they would its owner";
  } else {
    EXPECT_NE(outcome.status, 0) << outcome;
    EXPECT_THAT(outcome.err, HasSubstr("read-only"));
  }
  EXPECT_FALSE(Exists(Work("made")));
}

TEST_F(BadStartTest, AWorkspaceMayHaveAnyName) {
  const std::string odd = Path("odd \"name\" \x1b[2J \xff $(id)\nline");
  std::filesystem::create_directories(odd);
  Options options = Open();
  options.directory = odd;
  const Outcome outcome = Run({"touch", "made"}, options);
  if (outcome.status == 0) {
    EXPECT_TRUE(Exists(odd + "/made"));
  } else {
    EXPECT_EQ(outcome.status, 125) << outcome;
    EXPECT_THAT(outcome.err, testing::Not(HasSubstr("\x1b")));
  }
}

TEST_F(BadStartTest, SaysWhatIsWrongWithACommand) {
  Write(Work("plain"), "x", 0644);
  struct Case {
    std::string command;
    int status;
  };
  for (const auto& [command, status] :
       {Case{"no-such-command", 127}, Case{"./missing", 127}, Case{"/usr/bin", 126},
        Case{"./plain", 126}, Case{"", 127}, Case{std::string(4000, 'x'), 126},
        Case{"./plain/x", 126}}) {
    const Outcome outcome = Run({command}, Open());
    EXPECT_EQ(outcome.status, status) << command.substr(0, 50) << ": " << outcome;
    EXPECT_THAT(outcome.err, HasSubstr("error: ")) << command.substr(0, 50);
    EXPECT_EQ(outcome.out, "");
  }
  EXPECT_EQ(Cellrun({"run", "--profile", "strict", "--"}).status, 2) << "no command at all";
  EXPECT_EQ(Cellrun({}).status, 2);
}

TEST_F(BadStartTest, CarriesAHundredThousandArguments) {
  Words argv = {Probe(), "count"};
  for (int n = 0; n < 100'000; ++n) argv.push_back(std::to_string(n));
  Options options = Open();
  const Outcome outcome = Run(argv, options);
  EXPECT_EQ(outcome.status, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("100000 arguments, 588890 bytes"));
}

TEST_F(BadStartTest, CarriesArgumentsOfAnyBytes) {
  const Outcome outcome =
      Run({"printf", "%s|", "", " ", "\x01\xff\n", "-x", "--", "$HOME"}, Open());
  EXPECT_EQ(outcome.out, "| |\x01\xff\n|-x|--|$HOME|") << outcome;
}

TEST_F(BadStartTest, ATwoMebibyteEnvironmentIsRefusedClearlyOrLeftOutside) {
  Options options = Open();
  for (int n = 0; n < 40; ++n) {
    options.environment["BIG" + std::to_string(n)] = std::string(54'000, 'x');
  }
  options.in_child = [] {
    const rlimit limit = {64 << 20, 64 << 20};  // the kernel allows a quarter of it
    setrlimit(RLIMIT_STACK, &limit);
  };
  EXPECT_EQ(Run({"true"}, options).status, 0) << "it does not cross, so it does not matter";
  for (int n = 0; n < 40; ++n) {
    options.flags.insert(options.flags.end(), {"--env", "BIG" + std::to_string(n)});
  }
  const Outcome outcome = Run({"true"}, options);
  EXPECT_THAT(outcome.status, AnyOf(125, 126)) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("error: "));
}

TEST_F(BadStartTest, ExecsOfTooMuchInsideAreTheKernelsBusiness) {
  Write(Work("big.py"),
        "import errno, os, subprocess\n"
        "for size, count in ((200_000, 1), (100_000, 40)):\n"
        "    try:\n"
        "        subprocess.run(['/usr/bin/true'] + ['x' * size] * count); print('ran')\n"
        "    except OSError as error:\n"
        "        print(errno.errorcode[error.errno])\n");
  EXPECT_EQ(Run({"python3", "big.py"}, Open()).out, "E2BIG\nE2BIG\n");
}

TEST_F(BadStartTest, NamesAreCheckedAndUnique) {
  Options options = Open();
  for (const char* name : {"", "../x", "a/b", "a b", "\x1b[2J"}) {
    options.flags = {"--name", name};
    EXPECT_THAT(Run({"true"}, options).status, AnyOf(2, 125)) << name;
  }
  options.flags = {"--name", "taken"};
  Process first = Start({"bash", "-c", "echo up; sleep 1000"}, options);
  ASSERT_TRUE(first.WaitForOutput("up\n"));
  EXPECT_EQ(Run({"true"}, options).status, 125);
}

TEST_F(BadStartTest, ACellDoesNotStartAnother) {
  Options options = Open();
  options.flags = {"--read", Prefix()};
  const Outcome outcome = Run({Prefix() + "/bin/cellrun", "run", "--", "true"}, options);
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("cause: this is a cell, and cells do not nest\n"
                                     "try:   run cellrun outside of the cell\n"));
}

TEST_F(BadStartTest, AGrantThatCannotBeSaysSo) {
  Options options = Open();
  options.flags = {"--read", Path("missing")};
  const Outcome outcome = Run({"true"}, options);
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: "), HasSubstr("missing")));
  options.flags = {"--time", "soon"};
  EXPECT_EQ(Run({"true"}, options).status, 2);
  options.flags = {"--report", "/no-such-directory/report"};
  EXPECT_THAT(Run({"touch", "started"}, options).status, AnyOf(2, 125));
  EXPECT_FALSE(Exists(Work("started"))) << "found out before the command runs";
}

}  // namespace
}  // namespace cellrun::test
