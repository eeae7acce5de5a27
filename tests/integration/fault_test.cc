// SPDX-License-Identifier: Apache-2.0
// Each system call that a start makes, made to fail once. Then either nothing runs and the cause is
// said, or the cell is exactly what it is without the fault.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <sstream>
#include <vector>

#include "tests/support/remains.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;

// What a cell is, from inside, but for numbers that differ from cell to cell.
constexpr char kInventory[] = R"(
exec 2>&1
grep -E '^(NoNewPrivs|Seccomp|Cap|Groups|Uid|Gid)' /proc/self/status
while read -r id parent device root point options rest; do echo "$point $options"; done \
  < /proc/self/mountinfo | sort
cat /proc/self/limits /proc/self/oom_score_adj /proc/sys/user/max_*
hostname; id; ls -A / /dev /run /run/cellrun /tmp; cat /etc/passwd /etc/group /etc/hosts
ls /proc/self/fd | wc -l
cat /proc/kallsyms | wc -c; cat .env; echo x >> kept; (: > /proc/$$/mem) && echo writable
cat /proc/net/route | wc -l
)";

// A fault in these is one of the C library before main, or one that the kernel does not have: a
// close that fails has closed, and some cannot fail.
constexpr char kNeverFailing[] =
    "!brk,mmap,munmap,mprotect,futex,close,exit,exit_group,arch_prctl,getuid,geteuid,getgid,"
    "getegid,getpid,gettid,umask,set_tid_address,set_robust_"
    "list,rseq";

class FaultSlowTest : public Sandbox {
 protected:
  struct Fault {
    std::string call;
    int when = 0;  // which of its calls, from 1
  };

  Options Guarded() {
    return {.profile = WriteProfile("cellrun: 1\nname: guarded\nextends: [base]\n"
                                    "commands: {default: allow}\n"
                                    "filesystem:\n  hide: [.env]\n  protect: [kept]\n"
                                    "limits: {files: 500}\n"),
            .flags = ProbeFlags()};
  }
  // cellrun under strace, followed into the cell's first process until that becomes init.
  Outcome Traced(const Words& strace, const Options& options) {
    return Follow(strace, options).Wait();
  }
  Process Follow(const Words& strace, const Options& options) {
    Command command = CellrunCommand(RunArguments({"bash", "-c", kInventory}, options), options);
    Words argv = {"strace", "-f", "-b", "execve", "-qq", "-o", Path("trace")};
    argv.insert(argv.end(), strace.begin(), strace.end());
    argv.insert(argv.end(), command.argv.begin(), command.argv.end());
    command.argv = argv;
    return Process(std::move(command));
  }
  // Which of them this run plays: each lane every other one, or less of them.
  static std::size_t First() { return IsRootLane() ? 0 : 1; }
  static std::size_t Stride() {
    const char* stride = std::getenv("CELLRUN_FAULT_STRIDE");  // NOLINT(concurrency-mt-unsafe)
    return stride == nullptr ? 13 : static_cast<std::size_t>(std::max(1, std::atoi(stride)));
  }
  static std::string Inject(const Fault& fault, const char* what) {
    return "inject=" + fault.call + ":" + what + ":when=" + std::to_string(fault.when);
  }
  // The processes that have been stopped, by the trace so far.
  static std::vector<pid_t> Stopped(const std::string& trace) {
    std::vector<pid_t> found;
    std::istringstream lines(trace);
    for (std::string line; std::getline(lines, line);) {
      if (line.find("--- stopped by SIGSTOP ---") == std::string::npos) continue;
      found.push_back(static_cast<pid_t>(std::atoi(line.c_str())));
    }
    return found;
  }
  // Nobody but the broker.
  static bool NothingElseIsLeft(pid_t broker) {
    for (const pid_t pid : Descendants()) {
      if (pid != broker) (void)waitpid(pid, nullptr, WNOHANG);
    }
    return Descendants() == std::vector<pid_t>{broker};
  }
  // Each call once for every time that launcher or child makes it.
  std::vector<Fault> AllFaults(const std::string& trace) {
    std::map<std::pair<std::string, std::string>, int> made;  // (process, call)
    std::istringstream lines(trace);
    for (std::string line; std::getline(lines, line);) {
      std::istringstream words(line);
      std::string process, call;
      words >> process >> call;
      const std::size_t end = call.find('(');
      if (end != std::string::npos && call[0] != '<') ++made[{process, call.substr(0, end)}];
    }
    std::map<std::string, int> most;
    for (const auto& [key, count] : made) most[key.second] = std::max(most[key.second], count);
    std::vector<Fault> faults;
    for (const auto& [call, count] : most) {
      if (std::string(kNeverFailing).find(call + ",") != std::string::npos ||
          std::string(kNeverFailing).ends_with("," + call) || call == "execve")
        continue;
      for (int when = 1; when <= count; ++when) faults.push_back({call, when});
    }
    return faults;
  }
};

TEST_F(FaultSlowTest, AStartWithAFaultIsRefusedOrWhole) {
  Write(Work(".env"), "SECRET\n");
  Write(Work("kept"), "kept\n");
  const Options options = Guarded();
  StartBroker();
  const Outcome whole = Run({"bash", "-c", kInventory}, options);
  ASSERT_EQ(whole.status, 0) << whole;
  ASSERT_THAT(whole.out, HasSubstr("Seccomp:\t2"));
  ASSERT_THAT(whole.out, testing::Not(HasSubstr("SECRET")));
  const Outcome traced = Traced({}, options);
  ASSERT_EQ(traced.out, whole.out) << "tracing changes nothing: " << traced;
  const std::vector<Fault> faults = AllFaults(Read(Path("trace")));
  ASSERT_GT(faults.size(), 200U);
  int refused = 0;
  // Each lane takes half of them.
  for (std::size_t i = IsRootLane() ? 0 : 1; i < faults.size(); i += 2) {
    const Fault& fault = faults[i];
    const std::string what = fault.call + " " + std::to_string(fault.when);
    const Outcome outcome = Traced(
        {"-e", "inject=" + fault.call + ":error=EIO:when=" + std::to_string(fault.when)}, options);
    // Launcher and child both make this call so often: the words about one fault fell to the other.
    const std::string trace = Read(Path("trace"));
    const bool twice = trace.find("(INJECTED)") != trace.rfind("(INJECTED)");
    if (twice && (outcome.status == 0 || outcome.err.empty())) continue;
    if (outcome.status == 0) {
      // A cell that is less than whole says so.
      EXPECT_TRUE(outcome.out == whole.out || outcome.err.find("cellrun: ") != std::string::npos)
          << what << ": " << outcome;
    } else {
      ++refused;
      EXPECT_EQ(outcome.status, 125) << what << ": " << outcome;
      EXPECT_THAT(outcome.err, HasSubstr("error: ")) << what << ": " << outcome;
      // What was lost is either the end of the start's report, which the exec itself is, so that
      // the command may have begun before the cell is killed, or later what the broker says of its
      // end.
      EXPECT_TRUE(outcome.out.empty() ||
                  outcome.err.find("cannot follow the start") != std::string::npos ||
                  outcome.err.find("the broker cannot be heard") != std::string::npos)
          << what << ": " << outcome;
      EXPECT_TRUE(whole.out.starts_with(outcome.out)) << what << ": " << outcome;
    }
  }
  EXPECT_EQ(Read(Work("kept")), "kept\n");
  EXPECT_GT(refused, 50) << "faults that are noticed";
  EXPECT_EQ(Run({"bash", "-c", kInventory}, options).out, whole.out) << "the broker serves on";
}

// The launcher, or the child that becomes the cell's init, is killed as it makes a call.
TEST_F(FaultSlowTest, ALauncherKilledAtAnyCallLeavesNothing) {
  Write(Work(".env"), "SECRET\n");
  Write(Work("kept"), "kept\n");
  const Options options = Guarded();
  const pid_t broker = StartBroker();
  const Outcome whole = Traced({}, options);
  ASSERT_EQ(whole.status, 0) << whole;
  const std::vector<Fault> faults = AllFaults(Read(Path("trace")));
  ASSERT_GT(faults.size(), 200U);
  int killed = 0;
  for (std::size_t i = First(); i < faults.size(); i += Stride()) {
    const std::string what = faults[i].call + " " + std::to_string(faults[i].when);
    const Outcome outcome = Traced({"-e", Inject(faults[i], "signal=KILL")}, options);
    EXPECT_FALSE(outcome.timed_out) << what << ": " << outcome;
    EXPECT_TRUE(whole.out.starts_with(outcome.out)) << what << ": " << outcome;
    // The launcher itself says nothing any more; of its child it tells.
    EXPECT_TRUE(outcome.status == 0 || outcome.status == 128 + SIGKILL ||
                outcome.err.find("error: ") != std::string::npos)
        << what << ": " << outcome;
    EXPECT_TRUE(outcome.status != 0 || outcome.out == whole.out) << what << ": " << outcome;
    killed += outcome.status == 0 ? 0 : 1;
    ASSERT_TRUE(Until([&] { return NothingElseIsLeft(broker); })) << what;
    EXPECT_EQ(MountsMentioning(Work()), Words{}) << what;
    EXPECT_EQ(BrokerPid(), broker) << what;
  }
  EXPECT_GT(killed, 10);
  EXPECT_EQ(Read(Work("kept")), "kept\n");
  EXPECT_EQ(Run({"bash", "-c", kInventory}, options).out, whole.out) << "the broker serves on";
}

// Stopped there, while another cell starts and ends, and continued.
TEST_F(FaultSlowTest, ALauncherStoppedAtAnyCallGoesOn) {
  Write(Work(".env"), "SECRET\n");
  Write(Work("kept"), "kept\n");
  const Options options = Guarded();
  const pid_t broker = StartBroker();
  const Outcome whole = Traced({}, options);
  ASSERT_EQ(whole.status, 0) << whole;
  const std::vector<Fault> faults = AllFaults(Read(Path("trace")));
  int stopped = 0;
  for (std::size_t i = First(); i < faults.size(); i += Stride()) {
    const std::string what = faults[i].call + " " + std::to_string(faults[i].when);
    (void)std::remove(Path("trace").c_str());
    Process run = Follow({"-e", Inject(faults[i], "signal=STOP")}, options);
    std::size_t continued = 0;
    // Launcher and child may each make it so often: both are continued.
    const auto ended = [&] {
      siginfo_t info{};
      if (waitid(P_PID, static_cast<id_t>(run.pid()), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
          info.si_pid == run.pid()) {
        return true;
      }
      const std::vector<pid_t> all = Stopped(Read(Path("trace")));
      for (; continued < all.size(); ++continued) {
        const Outcome other = Run({"true"}, options);
        EXPECT_EQ(other.status, 0) << what << ": another cell: " << other;
        kill(all[continued], SIGCONT);
      }
      return false;
    };
    EXPECT_TRUE(Until(ended)) << what << ": it hangs";
    const Outcome outcome = run.Wait();
    EXPECT_EQ(outcome.status, 0) << what << ": " << outcome;
    EXPECT_EQ(outcome.out, whole.out) << what << ": " << outcome;
    stopped += continued == 0 ? 0 : 1;
    ASSERT_TRUE(Until([&] { return NothingElseIsLeft(broker); })) << what;
  }
  EXPECT_GT(stopped, 10);
}

}  // namespace
}  // namespace cellrun::test
