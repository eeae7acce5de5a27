// SPDX-License-Identifier: Apache-2.0
// A machine without disk space, without descriptors, or with a broker of another version.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <list>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

class BadMachineTest : public Sandbox {
 protected:
  Options Open() { return {.profile = OpenProfile(), .flags = ProbeFlags()}; }
  static std::string Quoted(const Words& words) {
    std::string line;
    for (const auto& word : words) line += "'" + word + "' ";
    return line;
  }
  // The run as one line for a shell.
  std::string Line(const Words& argv, const Options& options) {
    return Quoted({Prefix() + "/bin/cellrun"}) + Quoted(RunArguments(argv, options));
  }
};

TEST_F(BadMachineTest, AFullDiskUnderTheJournalDeniesUntilThereIsSpace) {
  REQUIRE_KERNEL(Feature::kUserNamespaces);
  const Options options = Open();
  const std::string state = Path("state");
  // A small file system of our own for the state directory; the broker starts inside the namespace.
  const std::string script =
      "set -u; mount -t tmpfs -o size=2M,mode=700 none '" + state +
      "' || exit 70\n"
      "drop() { setpriv --inh-caps=-all --ambient-caps=-all \"$@\"; }\n"
      "drop " +
      Line({"echo", "before"}, options) +
      "; echo first=$?\n"
      "cat /dev/zero > '" +
      state +
      "/filler' 2>/dev/null; sync\n"
      "drop " +
      Line({"bash", "-c",
            "for ((i = 1; i <= 2000; ++i)); do touch mark.$i || exit 9; done; echo ran"},
           options) +
      "; echo full=$?\n"
      "rm '" +
      state +
      "/filler'\n"
      "n=0; until drop " +
      Line({"echo", "after"}, options) +
      " 2>/dev/null; do n=$((n+1)); "
      "[ $n -lt 50 ] || exit 71; sleep 0.1; done\n"
      "drop '" +
      Prefix() +
      "/bin/cellrun' audit verify; echo verify=$?\n"
      "drop '" +
      Prefix() + "/bin/cellrun' broker stop --force\n";
  Options bare = options;
  bare.time_limit = std::chrono::seconds(60);
  const Words enter =
      IsRootLane()
          ? Words{"unshare", "--mount", "bash", "-c", script}
          : Words{"unshare", "--map-current-user", "--keep-caps", "--mount", "bash", "-c", script};
  const Outcome outcome = Bare(enter, bare);
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("before\nfirst=0\n"), Not(HasSubstr("full=0")),
                    Not(HasSubstr("ran\n")), HasSubstr("after\n"), HasSubstr("verify=0")))
      << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("error: the journal cannot be written"));
  EXPECT_FALSE(Exists(Work("mark.1"))) << "what cannot be recorded does not run";
}

TEST_F(BadMachineTest, AStateDirectoryThatCannotBeWrittenIsAnError) {
  Options options = Open();
  options.environment["CELLRUN_STATE_DIR"] = "/proc/nowhere";
  const Outcome outcome = Run({"true"}, options);
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: "), HasSubstr("/proc/nowhere")));
}

TEST_F(BadMachineTest, AJournalThatIsNoDatabaseIsAnError) {
  Write(Path("state/journal.db"), std::string(100'000, 'x'), 0600);
  const Outcome outcome = Run({"touch", "started"}, Open());
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("error: "));
  EXPECT_FALSE(Exists(Work("started")));
  EXPECT_EQ(Read(Path("state/journal.db")).size(), 100'000U) << "evidence is not thrown away";
}

TEST_F(BadMachineTest, ABrokerWithFewDescriptorsServesOrRefuses) {
  Options few = Open();
  few.in_child = [] {
    const rlimit limit = {128, 128};
    setrlimit(RLIMIT_NOFILE, &limit);
  };
  const Outcome first = Run({"echo", "one"}, few);
  EXPECT_TRUE((first.status == 0 && first.out == "one\n") ||
              (first.status == 125 && first.err.find("error: ") != std::string::npos))
      << first;
  // Many at once: some may be refused, none hangs, none runs unjudged.
  std::list<Process> runs;
  for (int n = 0; n < 16; ++n) runs.push_back(Start({"bash", "-c", "sleep 0.3; echo end"}, Open()));
  int served = 0;
  for (auto& run : runs) {
    const Outcome outcome = run.Wait();
    EXPECT_FALSE(outcome.timed_out) << outcome;
    EXPECT_THAT(outcome.status, AnyOf(0, 125, 126, 127, 128 + SIGKILL)) << outcome;
    if (outcome.status == 0) {
      EXPECT_EQ(outcome.out, "end\n");
      ++served;
    } else {
      EXPECT_NE(outcome.err, "") << "a refusal says why";
    }
  }
  // Until what the others had is back; what other processes of this user send each other counts.
  EXPECT_TRUE(Until([&] {
    const Outcome last = Run({"echo", "last"}, Open());
    return last.out == "last\n" || (first.status == 125 && last.status == 125);
  }));
  if (first.status == 0) {
    EXPECT_GT(served, 0);
  }
}

// From too little for anything to enough: nothing that is denied runs on the way.
TEST_F(BadMachineTest, ABrokerWithLittleMemoryServesOrRefuses) {
  MayLeaveSockets();  // of one that could not go on
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: guarded\nextends: [base]\ncommands:\n  default: allow\n"
      "  rules:\n    - {when: {exe: touch}, then: deny}\n");
  constexpr rlim_t kMebibyte = 1 << 20;
  int served = 0, refused = 0;
  for (const rlim_t mebibytes :
       std::initializer_list<rlim_t>{16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 2048}) {
    Options little = {.profile = profile};
    little.in_child = [mebibytes] {
      const rlimit limit = {mebibytes * kMebibyte, mebibytes * kMebibyte};
      setrlimit(RLIMIT_AS, &limit);
    };
    const Outcome outcome = Run({"bash", "-c", "touch mark; echo end"}, little);
    const std::string what = std::to_string(mebibytes) + " MiB";
    EXPECT_FALSE(outcome.timed_out) << what << ": " << outcome;
    EXPECT_FALSE(Exists(Work("mark"))) << what << ": what is denied ran: " << outcome;
    if (outcome.status == 0) {
      EXPECT_EQ(outcome.out, "end\n") << what << ": " << outcome;
      ++served;
    } else {
      EXPECT_NE(outcome.err, "") << what << ": a refusal says why: " << outcome;
      ++refused;
    }
    // Its cells are judged as ever, or not at all.
    std::list<Process> runs;
    for (int n = 0; n < 4; ++n) {
      runs.push_back(Start({"bash", "-c", "touch mark; echo end"}, {.profile = profile}));
    }
    for (auto& run : runs) {
      const Outcome one = run.Wait();
      EXPECT_FALSE(one.timed_out) << what << ": " << one;
      EXPECT_TRUE(one.status == 0 ? one.out == "end\n" : !one.err.empty()) << what << ": " << one;
    }
    EXPECT_FALSE(Exists(Work("mark"))) << what;
    (void)Cellrun({"broker", "stop", "--force"});
  }
  EXPECT_GT(served, 0);
  EXPECT_GT(refused, 0) << "none of them was too little";
}

TEST_F(BadMachineTest, ABrokerOfAnotherVersionIsNamed) {
  Write(Path("fake.py"),
        "import fcntl, os, socket, sys\n"
        "lock = open(sys.argv[1] + '/broker.lock', 'w'); fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "s.bind(sys.argv[1] + '/launch.sock'); s.listen(5); print('up', flush=True)\n"
        "while True:\n"
        "    c, _ = s.accept(); c.recv(65536)\n"
        "    c.send(b'{\"type\":\"hello\",\"cellrun\":\"99.1\",\"build\":\"other\",\"pid\":1}')\n"
        "    c.recv(65536); c.close()\n");
  MayLeaveSockets();
  Command command = CellrunCommand({});
  command.argv = {"python3", Path("fake.py"), RuntimeDirectory()};
  Process fake(std::move(command));
  ASSERT_TRUE(fake.WaitForOutput("up\n")) << fake.err();
  const Outcome outcome = Run({"touch", "started"}, Open());
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: "), HasSubstr("99.1"), HasSubstr("try: ")));
  EXPECT_FALSE(Exists(Work("started")));
  EXPECT_LT(outcome.seconds, 30);
}

TEST_F(BadMachineTest, ALauncherOfAnotherVersionIsNotServed) {
  StartBroker();
  Write(Path("fake.py"),
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(10)\n"
        "s.connect(sys.argv[1] + '/launch.sock')\n"
        "s.send(b'{\"type\":\"hello\",\"cellrun\":\"0.0.1\",\"build\":\"older\"}')\n"
        "while True:\n"
        "    answer = s.recv(65536)\n"
        "    if not answer: break\n"
        "    print(answer.decode())\n");
  const Outcome outcome = Bare({"python3", Path("fake.py"), RuntimeDirectory()});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr("plan")));
  EXPECT_THAT(outcome.out, AnyOf(HasSubstr("draining"), HasSubstr("refused")));
}

TEST_F(BadMachineTest, ABrokerThatIsAnotherProgramIsAnError) {
  MayLeaveSockets();
  Write(Path("fake.py"),
        "import fcntl, socket, sys\n"
        "lock = open(sys.argv[1] + '/broker.lock', 'w'); fcntl.flock(lock, fcntl.LOCK_EX)\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        "s.bind(sys.argv[1] + '/launch.sock'); s.listen(5); print('up', flush=True)\n"
        "while True:\n"
        "    c, _ = s.accept(); c.recv(65536); c.send(b'\\xff' * 1000); c.close()\n");
  Command command = CellrunCommand({});
  command.argv = {"python3", Path("fake.py"), RuntimeDirectory()};
  Process fake(std::move(command));
  ASSERT_TRUE(fake.WaitForOutput("up\n")) << fake.err();
  const Outcome outcome = Run({"true"}, Open());
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("error: "));
}

TEST_F(BadMachineTest, AMissingBrokerOrShimIsNamed) {
  // A copy of the installation without one of its programs.
  for (const char* missing : {"cellrun-broker", "cellrun-shim"}) {
    const std::string copy = Path(std::string("copy-") + missing);
    std::filesystem::copy(Prefix(), copy, std::filesystem::copy_options::recursive);
    std::filesystem::remove(copy + "/libexec/cellrun/" + missing);
    Command command = CellrunCommand(RunArguments({"true"}, Open()));
    command.argv[0] = copy + "/bin/cellrun";
    const Outcome outcome = RunCommand(std::move(command));
    EXPECT_EQ(outcome.status, 125) << missing << ": " << outcome;
    EXPECT_THAT(outcome.err, HasSubstr(missing));
  }
}

}  // namespace
}  // namespace cellrun::test
