// SPDX-License-Identifier: Apache-2.0
// What cellrun says about the kernel it runs on. Each case is for one kernel configuration, which
// tests/kernels/cases makes; nowhere else is it run.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::HasSubstr;
using testing::Not;

class KernelWordsTest : public Sandbox {
 protected:
  static Options Slow() {
    Options options;
    options.time_limit = std::chrono::seconds(90);
    return options;
  }

  // Doctor's table, word by word.
  Outcome Doctor() { return Cellrun({"doctor"}, Slow()); }

  // The lines of `doctor` from the one about `feature` to the next feature's.
  static std::string Lines(const Outcome& doctor, const std::string& feature) {
    const std::size_t name = doctor.out.find("  " + feature + " ");
    if (name == std::string::npos) return "nothing about " + feature;
    const std::size_t start = doctor.out.rfind('\n', name) + 1;
    std::size_t end = doctor.out.find('\n', name) + 1;
    while (doctor.out.compare(end, 11, std::string(11, ' ')) == 0) {
      end = doctor.out.find('\n', end) + 1;
    }
    return doctor.out.substr(start, end - start);
  }
  // One line of the table; the second column begins where the longest name ends.
  static std::string Line(const std::string& mark, const std::string& feature,
                          const std::string& detail) {
    constexpr std::size_t kLongestName = 37;
    std::string line = "  " + mark + std::string(9 - mark.size(), ' ') + feature;
    if (!detail.empty()) line += std::string(kLongestName - feature.size() + 2, ' ') + detail;
    return line + "\n";
  }
  static std::string Advice(const std::string& costs, const std::string& fix) {
    return "           costs: " + costs + "\n           try:   " + fix + "\n";
  }

  void ExpectCellsHold(const std::string& tracing) {
    const Outcome doctor = Doctor();
    EXPECT_EQ(doctor.status, 0) << doctor.out;
    EXPECT_EQ(Lines(doctor, "tracing a task of a cell"),
              Line("ok", "tracing a task of a cell", tracing));
    EXPECT_EQ(Lines(doctor, "user namespaces").substr(0, 26), "  ok       user namespaces");
    EXPECT_THAT(doctor.out, HasSubstr("\nCells hold here.\n"));
    EXPECT_THAT(doctor.out, Not(HasSubstr("BROKEN")));
    EXPECT_THAT(doctor.out, Not(HasSubstr("not tried")));
    // What 6.1 does not have, and what that costs.
    EXPECT_EQ(Lines(doctor, "seccomp SYNC_WAKE_UP"),
              Line("no", "seccomp SYNC_WAKE_UP",
                   "ioctl(SECCOMP_IOCTL_NOTIF_SET_FLAGS): Invalid argument") +
                  Advice("a judged execve takes about 0.1 ms longer", "use Linux 6.6 or later"));
    EXPECT_THAT(Lines(doctor, "Landlock scopes"),
                HasSubstr(Advice("signals and abstract sockets are confined by namespaces only",
                                 "use Linux 6.12 or later")));
  }

  // The start fails with exactly this, and nothing was started.
  void ExpectRefused(const std::string& words) {
    const Outcome outcome = Run({"touch", Work("ran")}, Slow());
    EXPECT_EQ(outcome.status, 125);
    EXPECT_EQ(outcome.err, words);
    EXPECT_EQ(outcome.out, "");
    EXPECT_FALSE(Exists(Work("ran")));
  }
  void ExpectDoctorRefuses(const Outcome& doctor, const std::string& words) {
    EXPECT_EQ(doctor.status, 1);
    std::string problem = "exit status 125: " + words;
    problem.pop_back();
    for (std::size_t at = 0; (at = problem.find('\n', at)) != std::string::npos; ++at) {
      problem.insert(at + 1, std::string(13, ' '));
    }
    EXPECT_THAT(doctor.out, HasSubstr("  FAILED     " + problem + "\n"));
    EXPECT_THAT(doctor.out, HasSubstr("\nCells do not hold, or do not start, here.\n"));
  }
  void ExpectNoUserNamespaces(const std::string& error, const std::string& cause,
                              const std::string& fix) {
    const std::string words = "error: cannot make the cell's namespaces: clone3: " + error +
                              "\ncause: " + cause + "\ntry:   " + fix + "\n";
    ExpectRefused(words);
    const Outcome doctor = Doctor();
    ExpectDoctorRefuses(doctor, words);
    EXPECT_EQ(
        Lines(doctor, "user namespaces"),
        Line("MISSING", "user namespaces", "clone3: " + error + "; " + cause) +
            Advice("no cell can be built: they give cellrun its rights without being root", fix));
    // No advice about what would work if they were there.
    for (const char* feature : {"other namespaces", "new mount API", "tracing a task of a cell",
                                "capabilities can be dropped"}) {
      EXPECT_EQ(Lines(doctor, feature), Line("?", feature, "needs user namespaces"));
    }
    EXPECT_EQ(Lines(doctor, "pidfd_getfd"),
              Line("?", "pidfd_getfd", "needs tracing a task of a cell"));
  }

  json Report(const Words& argv) {
    Options options = Slow();
    options.flags = {"--report", Path("report.json")};
    const Outcome outcome = Run(argv, options);
    EXPECT_EQ(outcome.status, 0) << outcome;
    return json::parse(Read(Path("report.json")), nullptr, false);
  }
};

TEST_F(KernelWordsTest, UnderYama0CellsHold) {
  ExpectCellsHold("Yama 0");
}
TEST_F(KernelWordsTest, UnderYama1CellsHold) {
  ExpectCellsHold("Yama 1");
}
TEST_F(KernelWordsTest, UnderYama2CellsHold) {
  ExpectCellsHold("Yama 2");
}
TEST_F(KernelWordsTest, WithoutYamaCellsHold) {
  ExpectCellsHold("no Yama");
}

TEST_F(KernelWordsTest, UnderYama3NothingStarts) {
  const std::string words =
      "error: no cell can be supervised on this host\n"
      "cause: kernel.yama.ptrace_scope is 3: nobody may attach to a process, so no exec could be "
      "verified\n"
      "try:   set kernel.yama.ptrace_scope to 2 or less in /etc/sysctl.d and restart the host\n";
  ExpectRefused(words);
  EXPECT_EQ(BrokerPid(), 0);
  const Outcome doctor = Doctor();
  ExpectDoctorRefuses(doctor, words);
  EXPECT_EQ(Lines(doctor, "tracing a task of a cell"),
            Line("MISSING", "tracing a task of a cell",
                 "kernel.yama.ptrace_scope is 3: nobody may attach to a process") +
                Advice("what ran cannot be compared with what was judged",
                       "set kernel.yama.ptrace_scope to 2 or less in /etc/sysctl.d and restart the "
                       "host"));
  for (const char* feature : {"reading a task's memory", "pidfd_getfd"}) {
    EXPECT_EQ(Lines(doctor, feature), Line("?", feature, "needs tracing a task of a cell"));
  }
}

TEST_F(KernelWordsTest, AsUserWithUserNamespacesOffNothingStarts) {
  ExpectNoUserNamespaces(
      "Operation not permitted",
      "unprivileged user namespaces are off (kernel.unprivileged_userns_clone = 0)",
      "sudo sysctl kernel.unprivileged_userns_clone=1");
}
TEST_F(KernelWordsTest, AsRootWithUserNamespacesOffCellsHold) {
  const Outcome doctor = Doctor();
  EXPECT_EQ(doctor.status, 0) << doctor.out;
  EXPECT_THAT(doctor.out, HasSubstr("\nCells hold here.\n"));
}

TEST_F(KernelWordsTest, WithNoUserNamespaceLeftNothingStarts) {
  ExpectNoUserNamespaces("No space left on device",
                         "no user namespace may be made (user.max_user_namespaces = 0)",
                         "sudo sysctl user.max_user_namespaces=15000");
}

TEST_F(KernelWordsTest, WithLandlock2ItIsInForceAndSaidSo) {
  EXPECT_EQ(Lines(Doctor(), "Landlock"), Line("ok", "Landlock", "ABI 2"));
  EXPECT_THAT(Report({"true"})["layers"], Contains("landlock"));
  EXPECT_EQ(Run({"true"}, Slow()).err, "");
}

TEST_F(KernelWordsTest, WithoutLandlockEveryStartSaysSo) {
  EXPECT_EQ(Lines(Doctor(), "Landlock"),
            Line("missing", "Landlock", "not built in, or not in the kernel's lsm= list") +
                Advice("images that no rule allows are refused by the broker only, not by the "
                       "kernel as well",
                       "add landlock to the kernel's lsm= list and reboot"));
  const Outcome outcome = Run({"true"}, Slow());
  EXPECT_EQ(outcome.status, 0);
  EXPECT_EQ(outcome.err, "cellrun: not enforced: Landlock is not in this kernel or switched off\n");
  EXPECT_THAT(Report({"true"})["layers"], Not(Contains("landlock")));
}

TEST_F(KernelWordsTest, WithoutLandlockAProfileThatRequiresItDoesNotStart) {
  Options options = Slow();
  options.profile = WriteProfile(
      "cellrun: 1\nname: demanding\nextends: [base]\nrequire: [landlock]\n"
      "commands: {default: allow}\n");
  const Outcome outcome = Run({"touch", Work("ran")}, options);
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.err, HasSubstr("cause: the profile requires landlock ("));
  EXPECT_THAT(outcome.err, HasSubstr(":4:11), which this host does not have\n"));
  EXPECT_FALSE(Exists(Work("ran")));
}

}  // namespace
}  // namespace cellrun::test
