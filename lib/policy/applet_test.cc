// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "lib/policy/policy_fixture.h"

namespace cellrun::policy {
namespace {

// busybox, the coreutils in one file, Debian's pg_wrapper: one file, and what it is hangs on the
// name that it is called by.
class AppletTest : public PolicyTest {
 protected:
  AppletTest() {
    machine_.Add("/usr/bin/busybox", 20);
    for (const char* name : {"/usr/bin/rm", "/usr/bin/date", "/bin/date", "/home/u/.bin/date"})
      machine_.Link(name, "/usr/bin/busybox");
    machine_.Link("/usr/bin/nc", "/usr/bin/sudo");
  }
  // `path` as written, which leads to busybox.
  ExecRequest Called(const std::string& path, const std::string& zeroth) {
    ExecRequest request = Request("/usr/bin/busybox");
    request.raw_path = path;
    request.argv = {zeroth};
    return request;
  }
};

TEST_F(AppletTest, ARuleAboutOneOfThemIsNotAboutTheOthers) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.exe = {"rm"}}, Action::kDeny);
  EXPECT_EQ(Decide(Called("/usr/bin/rm", "rm")), Action::kDeny);
  EXPECT_EQ(Decide(Called("/usr/bin/date", "date")), Action::kAllow);
  EXPECT_EQ(Decide(Called("/bin/date", "/bin/date")), Action::kAllow);
}

TEST_F(AppletTest, WhatIsNotCertainIsTheOneThatIsDenied) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.exe = {"rm"}}, Action::kDeny);
  EXPECT_EQ(Decide(Called("/usr/bin/date", "rm")), Action::kDeny) << "argv[0] says rm";
  EXPECT_EQ(Decide(Called("/usr/bin/rm", "date")), Action::kDeny);
  EXPECT_EQ(Decide(Called("/usr/bin/date", "x")), Action::kDeny);
  EXPECT_EQ(Decide(Called("/home/u/.bin/date", "date")), Action::kDeny) << "a link of the cell's";
  EXPECT_EQ(Decide(Called("/home/u/project/x", "x")), Action::kDeny);
  EXPECT_EQ(Decide(Called("date", "date")), Action::kDeny) << "relative";
  EXPECT_EQ(Decide(Called("/dev/fd/3", "date")), Action::kDeny);
  EXPECT_EQ(Decide(Called("/usr/bin/date", "")), Action::kDeny);
}

TEST_F(AppletTest, NothingElseIsAllowedByTheNameOfOne) {
  AddRule({.exe = {"date"}}, Action::kAllow);
  EXPECT_EQ(Decide(Called("/usr/bin/date", "date")), Action::kAllow);
  EXPECT_EQ(Decide(Called("/usr/bin/rm", "rm")), Action::kDeny);
  EXPECT_EQ(Decide(Called("/usr/bin/date", "rm")), Action::kDeny);
  EXPECT_EQ(Decide(Called("/usr/bin/rm", "date")), Action::kDeny);
  EXPECT_EQ(Decide(Called("/usr/bin/busybox", "busybox")), Action::kDeny);
  EXPECT_EQ(Decide(Called("/home/u/.bin/date", "date")), Action::kDeny);
}

TEST_F(AppletTest, TheFileItselfIsAllOfThem) {
  AddRule({.exe = {"busybox"}}, Action::kAllow);
  for (const char* name : {"rm", "date", "busybox", "x"})
    EXPECT_EQ(Decide(Called("/usr/bin/" + std::string(name), name)), Action::kAllow) << name;
}

TEST_F(AppletTest, AnInterpreterIsWhatTheFirstLineCalls) {
  AddRule({.exe = {"date"}}, Action::kAllow);
  AddRule({.exe = {"./**"}}, Action::kAllow);
  ExecRequest request = Request("/home/u/project/script");
  request.images.front().kind = ExecImage::Kind::kScript;
  request.images.push_back(machine_.Image("/usr/bin/busybox"));
  request.images.back().argv = {"/bin/date", "/home/u/project/script"};
  EXPECT_EQ(Decide(request), Action::kAllow);
  request.images.back().argv.front() = "/usr/bin/rm";
  EXPECT_EQ(Decide(request), Action::kDeny);
  request.images.back().argv.front() = "/home/u/.bin/date";
  EXPECT_EQ(Decide(request), Action::kDeny);
}

TEST_F(AppletTest, OtherNamesOfOneProgramAreThatProgram) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.exe = {"nc"}}, Action::kDeny);
  EXPECT_EQ(Decide("/usr/bin/sudo"), Action::kDeny);
}

// Who called is no reason to allow, and a rule that denies means whatever is in the file.
TEST_F(AppletTest, ACallingProgramIsAllOfThem) {
  profile_.command_default.value = Action::kAllow;
  AddRule({.exe = {"git"}, .parent = {"date"}}, Action::kDeny);
  ExecRequest request = Request("/usr/bin/git");
  EXPECT_EQ(Decide(request), Action::kAllow);
  request.parent = "/usr/bin/busybox";
  EXPECT_EQ(Decide(request), Action::kDeny);
}

}  // namespace
}  // namespace cellrun::policy
