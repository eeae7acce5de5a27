// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>
#include <sstream>

#include "tests/faults/fault_plan.h"
#include "tests/support/remains.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {

// What a cell is, from inside, and what becomes of programs that are allowed and denied.
inline constexpr char kScript[] = R"(
exec 2>&1
while read -r id parent device root point options rest; do echo "$point $options"; done \
  < /proc/self/mountinfo
ls -A / /run /run/cellrun; cat .env; echo x >> kept
touch mark; echo "denied $?"; echo "end"
)";

// A broker whose calls a test counts, fails, holds or makes its last while a cell is played.
class FaultyBroker : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    Write(Work(".env"), "SECRET\n");
    Write(Work("kept"), "kept\n");
    profile_ = WriteProfile(
        "cellrun: 1\nname: guarded\nextends: [base]\n"
        "commands:\n  default: allow\n  rules:\n    - {when: {exe: touch}, then: deny}\n"
        "filesystem:\n  hide: [.env]\n  protect: [kept]\n");
  }

  // A broker with the fault library, in front.
  Process StartBroker() {
    Command command = CellrunCommand({});
    command.argv = {Prefix() + "/libexec/cellrun/cellrun-broker", "--ready-fd", "3",
                    "--idle-seconds", "600"};
    command.environment["LD_PRELOAD"] =
        std::filesystem::path(Probe()).parent_path().string() + "/faults.so";
    command.environment["CELLRUN_TEST_FAULTS"] = Path("faults");
    command.in_child = [] { (void)dup2(STDOUT_FILENO, 3); };  // it makes the first three its own
    command.time_limit = std::chrono::seconds(600);
    Process broker(std::move(command));
    EXPECT_TRUE(broker.WaitForOutput("ready")) << broker.err();
    return broker;
  }

  Outcome Play() {
    return Run({"bash", "-c", kScript},
               {.profile = profile_, .time_limit = std::chrono::seconds(20)});
  }
  Process StartPlay() {
    return Start({"bash", "-c", kScript},
                 {.profile = profile_, .time_limit = std::chrono::seconds(40)});
  }
  // A child of this process: a zombie until it is waited for.
  static bool HasEnded(pid_t pid) {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
           info.si_pid == pid;
  }
  // Orphans come to this process.
  static bool OnlyTheBrokerIsLeft(pid_t broker) {
    for (const pid_t pid : Descendants()) {
      if (pid != broker) (void)waitpid(pid, nullptr, WNOHANG);
    }
    return Descendants() == std::vector<pid_t>{broker};
  }
  static Words Left() {
    Words left;
    for (const pid_t pid : Descendants()) left.push_back(Describe(pid));
    return left;
  }
  // How often the calls of one play are made, when everything is there that is made once.
  std::int64_t CountCalls() {
    std::int64_t most = 0;
    for (int i = 0; i < 3; ++i) {
      faults().Count();
      EXPECT_EQ(Play().status, 0);
      most = std::max(most, faults().Disarm());
    }
    return most;
  }
  // The kernel lists mounts in an order of its own.
  static bool IsWhole(const Outcome& outcome, const std::string& whole) {
    return outcome.status == 0 && SortedLines(outcome.out) == SortedLines(whole);
  }
  // Whether a cell is whole again within some seconds; some faults are felt a little longer.
  bool Recovers(const std::string& whole) {
    return Until([&] { return IsWhole(Play(), whole); });
  }
  // Once the last cell is gone. -1, -1: an ordinary user cannot count them.
  static bool HoldsAtMost(pid_t pid, long descriptors) {
    return Until([&] { return DescriptorCount(pid) <= descriptors; });
  }
  void ExpectHonest(const Outcome& outcome, const std::string& whole, const std::string& what) {
    EXPECT_FALSE(outcome.timed_out) << what << ": it hangs: " << outcome;
    EXPECT_FALSE(Exists(Work("mark"))) << what << ": what is denied ran: " << outcome;
    EXPECT_EQ(Read(Work("kept")), "kept\n") << what;
    EXPECT_THAT(outcome.out, testing::Not(testing::HasSubstr("SECRET"))) << what;
    if (IsWhole(outcome, whole)) return;
    if (outcome.out.ends_with("end\n") && outcome.status == 0)
      return ExpectDenied(outcome, whole, what);
    // Where exec can no longer fail, the kernel leaves nothing but to kill.
    if (outcome.status == 128 + SIGKILL && outcome.out.empty()) return;
    EXPECT_NE(outcome.status, 0) << what << ": less than whole, and nothing is said: " << outcome;
    EXPECT_THAT(outcome.err, testing::HasSubstr("error: ")) << what << ": " << outcome;
  }
  // The cell is whole, but an exec in it was denied, or killed where it was too late for that: its
  // line is missing, another one says so.
  void ExpectDenied(const Outcome& outcome, const std::string& whole, const std::string& what) {
    int said = 0;
    std::istringstream lines(outcome.out);
    for (std::string line; std::getline(lines, line);) {
      const bool known = whole.find(line + "\n") != std::string::npos;
      if (known) continue;
      const bool honest = line.find("Permission denied") != std::string::npos ||
                          line.find("Input/output error") != std::string::npos ||
                          line.find(" Killed ") != std::string::npos ||
                          line.starts_with("cellrun: ") || line.starts_with("denied 1");
      EXPECT_TRUE(honest) << what << ": a line that is not there otherwise: " << line;
      said += honest ? 1 : 0;
    }
    EXPECT_GT(said, 0) << what << ": nothing is said, and missing is: "
                       << testing::PrintToString(Missing(outcome.out, whole));
  }
  static Words SortedLines(const std::string& text) {
    Words lines;
    std::istringstream stream(text);
    for (std::string line; std::getline(stream, line);) lines.push_back(line);
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  static Words Missing(const std::string& part, const std::string& whole) {
    const Words have = SortedLines(part), wanted = SortedLines(whole);
    Words missing;
    std::set_difference(wanted.begin(), wanted.end(), have.begin(), have.end(),
                        std::back_inserter(missing));
    return missing;
  }

  FaultMap& faults() {
    if (!faults_) faults_ = std::make_unique<FaultMap>(Path("faults"));
    return *faults_;
  }

 private:
  std::string profile_;
  std::unique_ptr<FaultMap> faults_;
};

}  // namespace cellrun::test
