// SPDX-License-Identifier: Apache-2.0
// Others act on the processes of a cell while the broker is held before each of its calls: they
// kill, stop and continue, or trace the launcher, the cell's first process or its newest. Then the
// cell is whole, or ends or denies and says so; what the profile denies never runs.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>

#include "tests/faults/faulty_broker.h"

namespace cellrun::test {
namespace {

using testing::HasSubstr;
using testing::Not;

enum class Victim { kLauncher, kInit, kNewest };
enum class Act { kKill, kStop, kTrace };

struct Deed {
  Victim victim;
  Act act;
  const char* name;
};
constexpr std::array kDeeds = {
    Deed{Victim::kNewest, Act::kKill, "the newest process is killed"},
    Deed{Victim::kNewest, Act::kStop, "the newest process is stopped and continued"},
    Deed{Victim::kNewest, Act::kTrace, "the newest process is traced"},
    Deed{Victim::kInit, Act::kKill, "init is killed"},
    Deed{Victim::kInit, Act::kStop, "init is stopped and continued"},
    Deed{Victim::kInit, Act::kTrace, "init is traced"},
    Deed{Victim::kLauncher, Act::kKill, "the launcher is killed"},
    Deed{Victim::kLauncher, Act::kStop, "the launcher is stopped and continued"},
    Deed{Victim::kLauncher, Act::kTrace, "the launcher is traced"},
};

// Attached for a while, and given up properly. Its signals are given on.
class Tracer {
 public:
  explicit Tracer(pid_t pid)
      : pid_(pid), attached_(ptrace(PTRACE_SEIZE, pid, nullptr, nullptr) == 0) {}
  ~Tracer() {
    if (!attached_) return;
    (void)ptrace(PTRACE_INTERRUPT, pid_, nullptr, nullptr);
    while (attached_) Step(0);
  }
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  [[nodiscard]] bool attached() const { return attached_; }
  void KeepGoing(std::chrono::milliseconds span) {
    const auto end = std::chrono::steady_clock::now() + span;
    while (attached_ && std::chrono::steady_clock::now() < end) {
      detach_ = false;
      Step(WNOHANG);
      usleep(500);
    }
    detach_ = true;
  }

 private:
  void Step(int flags) {
    int status = 0;
    const pid_t changed = waitpid(pid_, &status, __WALL | flags);
    if (changed == 0) return;
    if (changed < 0 || !WIFSTOPPED(status)) {
      attached_ = false;
      return;
    }
    const bool event = status >> 16 != 0;
    const auto signal = static_cast<std::uintptr_t>(event ? 0 : WSTOPSIG(status));
    const auto request = detach_ ? PTRACE_DETACH : PTRACE_CONT;
    // ESRCH: killed in its stop; its end comes next.
    if (ptrace(request, pid_, nullptr, signal) == 0 && detach_) attached_ = false;
  }

  pid_t pid_;
  bool attached_;
  bool detach_ = true;
};

class OutsideSlowTest : public FaultyBroker {
 protected:
  // Of all, or of a sample: both lanes together see every moment, each deed in turn.
  static std::int64_t Stride() {
    const char* stride = std::getenv("CELLRUN_FAULT_STRIDE");  // NOLINT(concurrency-mt-unsafe)
    return stride == nullptr ? 7 : std::max(1L, std::strtol(stride, nullptr, 10));
  }
  static std::vector<pid_t> Children(pid_t pid) {
    std::vector<pid_t> found;
    const std::string number = std::to_string(pid);
    std::ifstream file("/proc/" + number + "/task/" + number + "/children");
    for (pid_t child = 0; file >> child;) found.push_back(child);
    return found;
  }
  // -1: there is none yet, or no more.
  static pid_t Find(const Process& cell, Victim victim) {
    if (victim == Victim::kLauncher) return cell.pid();
    const std::vector<pid_t> inits = Children(cell.pid());
    if (inits.empty()) return -1;
    if (victim == Victim::kInit) return inits.front();
    pid_t newest = -1;
    for (std::vector<pid_t> below = Children(inits.front()); !below.empty();
         below = Children(newest)) {
      newest = below.back();
    }
    return newest;
  }
  // Whether something was done.
  bool Do(const Deed& deed, const Process& cell) {
    const pid_t pid = Find(cell, deed.victim);
    switch (pid < 0 ? Act::kKill : deed.act) {
      case Act::kKill:
        if (pid > 0) kill(pid, SIGKILL);
        faults().Release();
        return pid > 0;
      case Act::kStop:
        kill(pid, SIGSTOP);
        faults().Release();
        ExpectOthersServed(deed.name);
        kill(pid, SIGCONT);
        return true;
      case Act::kTrace: {
        Tracer tracer(pid);
        const bool attached = tracer.attached();  // not to what the broker has, or nobody may read
        faults().Release();
        tracer.KeepGoing(std::chrono::milliseconds(20));
        return attached;
      }
    }
    return false;
  }
  void ExpectOthersServed(const std::string& what) {
    const Outcome other = Run({"true"}, {.profile = other_});
    EXPECT_EQ(other.status, 0) << what << ": another cell: " << other;
  }
  void ExpectHarmless(const Outcome& outcome, const std::string& whole, const Deed& deed,
                      const std::string& what) {
    EXPECT_FALSE(outcome.timed_out) << what << ": it hangs: " << outcome;
    EXPECT_FALSE(Exists(Work("mark"))) << what << ": what is denied ran: " << outcome;
    EXPECT_EQ(Read(Work("kept")), "kept\n") << what;
    EXPECT_THAT(outcome.out, Not(HasSubstr("SECRET"))) << what;
    if (IsWhole(outcome, whole)) return;
    // Who is killed from outside says nothing; who kills knows.
    if (outcome.status == 128 + SIGKILL && deed.act == Act::kKill) return;
    if (deed.act == Act::kStop) {
      ADD_FAILURE() << what << ": what continues is as it was: " << outcome;
    }
    if (outcome.status == 0) return ExpectDenied(outcome, whole, what);
    EXPECT_TRUE(outcome.status == 128 + SIGKILL || outcome.err.find("error: ") != std::string::npos)
        << what << ": nothing is said: " << outcome;
  }

  std::string other_;
};

TEST_F(OutsideSlowTest, NobodyGainsByActingOnACellAtAnyMoment) {
  (void)faults();
  other_ = OpenProfile();
  Process broker = StartBroker();
  const Outcome whole = Play();
  ASSERT_EQ(whole.status, 0) << whole;
  ASSERT_THAT(whole.out, AllOf(HasSubstr("denied 126"), Not(HasSubstr("SECRET"))));
  ExpectOthersServed("before");
  const std::int64_t calls = CountCalls();
  ASSERT_GT(calls, 200);
  const long descriptors = DescriptorCount(broker.pid());
  std::array<int, kDeeds.size()> done{}, due{};
  // What has been done least, but what cannot be done must not take all moments: a deed that is
  // never possible is tried four times as often as one that always is.
  auto next = [&, from = std::size_t{IsRootLane() ? 0U : 4U}]() mutable {
    const auto begin = due.begin() + static_cast<std::ptrdiff_t>(from++ % due.size());
    const auto after = std::min_element(begin, due.end());
    const auto before = std::min_element(due.begin(), begin);
    const bool wraps = before != begin && *before < *after;
    return static_cast<std::size_t>((wraps ? before : after) - due.begin());
  };
  const std::int64_t stride = Stride();
  const std::size_t each = stride == 1 ? kDeeds.size() : 1;
  for (std::int64_t at = 1 + (IsRootLane() ? 0 : stride / 2); at <= calls; at += stride) {
    for (std::size_t n = 0; n < each; ++n) {
      const std::size_t chosen = each == 1 ? next() : n;
      const Deed& deed = kDeeds[chosen];
      ++due[chosen];
      faults().Arm(kFaultHold, at);
      Process cell = StartPlay();
      if (Until([&] { return faults().held() || HasEnded(cell.pid()); }) && Do(deed, cell)) {
        ++done[chosen];
        due[chosen] += 3;
      }
      faults().Release();
      const Outcome outcome = cell.Wait();
      (void)faults().Disarm();
      const std::string what =
          "call " + std::to_string(at) + ", " + faults().fired() + ": " + deed.name;
      ExpectHarmless(outcome, whole.out, deed, what);
      ASSERT_EQ(BrokerPid(), broker.pid()) << what << ": " << Read(Path("state/broker.log"));
      ASSERT_TRUE(Until([&] { return OnlyTheBrokerIsLeft(broker.pid()); }))
          << what << ": " << testing::PrintToString(Left());
      EXPECT_EQ(MountsMentioning(Work()), std::vector<std::string>{}) << what;
    }
  }
  for (std::size_t i = 0; i < kDeeds.size(); ++i) {
    // An ordinary user may not attach to a launcher or an init, which nobody may read.
    if (kDeeds[i].act == Act::kTrace && !IsRootLane()) continue;
    EXPECT_GT(done[i], 0) << "never: " << kDeeds[i].name;
  }
  EXPECT_TRUE(Recovers(whole.out));
  EXPECT_TRUE(HoldsAtMost(broker.pid(), descriptors + 2)) << DescriptorCount(broker.pid());
  EXPECT_EQ(Cellrun({"audit", "verify"}).status, 0);
  EXPECT_EQ(Cellrun({"broker", "stop"}).status, 0);
  EXPECT_EQ(broker.Wait().status, 0);
}

}  // namespace
}  // namespace cellrun::test
