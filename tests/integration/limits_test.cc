// SPDX-License-Identifier: Apache-2.0
// What a cell or a ghost may use, and that no more than that can be had; where a host cannot hold a
// limit for the cell as a whole, that this is said.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::Not;

constexpr std::size_t kMebibyte = 1024 * 1024;

// The line of /proc/self/cgroup for that hierarchy, its path alone.
std::string GroupIn(const std::string& hierarchy) {
  std::ifstream lines("/proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (line.substr(colon).starts_with(":" + hierarchy + ":"))
      return line.substr(line.rfind(':') + 1);
  }
  return "";
}

// Whether this process may limit others as a whole: by another way than cellrun finds out.
bool HostHas(const std::string& controller) {
  namespace fs = std::filesystem;
  const std::string old = "/sys/fs/cgroup/" + controller + GroupIn(controller);
  if (controller != "memory" && !GroupIn(controller).empty() && access(old.c_str(), W_OK) == 0)
    return true;
  const bool hybrid = fs::exists("/sys/fs/cgroup/unified");
  const fs::path mount = hybrid ? "/sys/fs/cgroup/unified" : "/sys/fs/cgroup";
  for (fs::path at = mount.string() + GroupIn("");; at = at.parent_path()) {
    if (at.string().ends_with('/')) at = at.parent_path();
    if (access(at.c_str(), W_OK) != 0) return false;
    std::ifstream words(at / "cgroup.controllers");
    for (std::string word; words >> word;) {
      if (word == controller) return true;
    }
    if (at == mount) return false;
  }
}

class LimitsTest : public Sandbox {
 protected:
  Options With(const std::string& limits, const std::string& more = "") {
    return {.profile = WriteProfile("cellrun: 1\nname: limited\ncommands: {default: allow}\n" +
                                    (limits.empty() ? "" : "limits: {" + limits + "}\n") + more)};
  }
  // `sh` runs in a ghost with these rights.
  Options Ghosts(const std::string& rights, const std::string& more = "") {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: ghosts\ncommands:\n  default: allow\n  rules:\n"
                "    - {name: its-rule, when: {exe: sh}, then: allow, run: ghost, ghost: {" +
                rights + "}}\n" + more)};
  }
  std::vector<std::string> Layers(const std::string& limits) {
    Options options = With(limits);
    options.flags = {"--report", Path("report")};
    EXPECT_EQ(Shell("true", options).status, 0);
    return json::parse(Read(Path("report")), nullptr, false)
        .value("layers", std::vector<std::string>());
  }
  std::vector<json> Ends() {
    std::vector<json> found;
    for (json& record : History()) {
      if (record.value("kind", "") == "cell" && record.value("result", "") == "ended")
        found.push_back(std::move(record));
    }
    return found;
  }
};

// What two busy processes got in three seconds: processor time, and rounds of one of them.
constexpr char kHog[] =
    "python3 -c 'import os, time\n"
    "def used(): times = os.times(); return sum(times[:4])\n"
    "end = time.monotonic() + 3; before = used(); rounds = 0\n"
    "child = os.fork()\n"
    "while time.monotonic() < end: rounds += 1\n"
    "if child == 0: os._exit(0)\n"
    "os.wait(); print(used() - before, rounds)'";
struct Share {
  double seconds = 0, rounds = 0;
};
Share ShareOf(const Outcome& outcome) {
  Share share;
  std::istringstream(outcome.out) >> share.seconds >> share.rounds;
  return share;
}
// A tenth of a processor, and not two. In a virtual machine that has to wait for its host, time is
// counted in which nothing was done.
bool IsATenth(const Share& held, const Share& bare) {
  return held.rounds > 0 && (held.seconds < 0.45 || held.rounds < bare.rounds / 3);
}

std::string Allocate(int mebibytes, int processes) {
  return "python3 -c 'import os, time\n"
         "children = []\n"
         "for i in range(" +
         std::to_string(processes) +
         "):\n"
         "  child = os.fork()\n"
         "  if child == 0:\n"
         "    held = bytearray(b\"x\") * (" +
         std::to_string(mebibytes) +
         " << 20)\n"
         "    time.sleep(1.5)\n"
         "    os._exit(0)\n"
         "  children.append(child)\n"
         "print(sum(os.waitpid(c, 0)[1] != 0 for c in children), \"failed\")'";
}

// ---- Processors.

TEST_F(LimitsTest, AHogGetsItsShareOfTheProcessors) {
  Outcome bare;
  const bool takes_more = Until(
      [&] {  // not at once on a machine that has much to do
        bare = Bare({"bash", "-c", &kHog[0]});
        return ShareOf(bare).seconds > 0.6;
      },
      std::chrono::seconds(40));
  EXPECT_TRUE(takes_more) << bare;
  const Outcome held = Shell(&kHog[0], With("cpus: 0.1"));
  ASSERT_EQ(held.status, 0) << held;
  if (HostHas("cpu")) {
    EXPECT_TRUE(IsATenth(ShareOf(held), ShareOf(bare))) << held << bare;
    EXPECT_THAT(held.err, Not(HasSubstr("limits.cpus")));
  } else {
    EXPECT_LT(ShareOf(held).seconds, 3.3) << held;
    EXPECT_THAT(held.err, HasSubstr("limits.cpus: not enforced, but for 1 whole processor:"));
  }
}

TEST_F(LimitsTest, WholeProcessorsCannotBeChanged) {
  constexpr char kTake[] =
      "nproc; python3 -c 'import os\n"
      "for pid in 0, 1, os.getppid():\n"
      "  try: os.sched_setaffinity(pid, range(os.cpu_count())); print(\"taken\")\n"
      "  except OSError as e: print(e.strerror)'; nproc";
  const Outcome free = Shell(&kTake[0], With(""));
  EXPECT_THAT(free.out, HasSubstr("taken")) << free;
  if (std::stoi(free.out) < 2) return;
  const Outcome held = Shell(&kTake[0], With("cpus: 1"));
  if (HostHas("cpu")) {
    EXPECT_EQ(held.out, free.out) << held;  // any of them, for a part of the time
    return;
  }
  const std::string no = "Operation not permitted\n";
  EXPECT_EQ(held.out, "1\n" + no + no + no + "1\n") << held;
  EXPECT_EQ(held.err, "") << "it is enforced";
}

TEST_F(LimitsTest, MoreProcessorsThanThereAreNeedNoLimit) {
  EXPECT_EQ(Shell("true", With("cpus: 4096")).err, "");
}

// ---- Memory.

TEST_F(LimitsTest, AProcessCannotAllocateMoreThanTheMemory) {
  const std::string much = Allocate(200, 1);
  EXPECT_EQ(Bare({"bash", "-c", much}).out, "0 failed\n");
  const Outcome held = Shell(much, With("memory: 100M"));
  EXPECT_EQ(held.out, "1 failed\n") << held;
  if (HostHas("memory")) {
    EXPECT_THAT(held.err, HasSubstr("memory ran out: the kernel ended 1 process of the cell"));
    EXPECT_EQ(Ends().at(0)["detail"].value("memory_kills", 0), 1);
  } else {
    EXPECT_THAT(held.err, AllOf(HasSubstr("limits.memory: not enforced for the cell as a whole"),
                                HasSubstr("MemoryError")));
  }
}

TEST_F(LimitsTest, SeveralProcessesShareTheMemoryWhereTheHostCanCountIt) {
  const std::string much = Allocate(60, 4);
  EXPECT_EQ(Bare({"bash", "-c", much}).out, "0 failed\n");
  const Outcome held = Shell(much, With("memory: 128M"));
  if (HostHas("memory")) {
    EXPECT_THAT(held.out, AnyOf("2 failed\n", "3 failed\n")) << held;
  } else {
    EXPECT_EQ(held.out, "0 failed\n") << held;
    EXPECT_THAT(held.err, HasSubstr("limits.memory: not enforced for the cell as a whole"));
  }
}

TEST_F(LimitsTest, NoTmpfsHoldsMoreThanTheMemory) {
  constexpr char kFill[] =
      "for at in /tmp /dev/shm ~ /run/lock; do head -c 80M /dev/zero 2>&1 >$at/x | grep -o 'No "
      "space.*'; "
      "done; echo over";
  const Outcome held = Shell(&kFill[0], With("memory: 32M"));
  if (HostHas("memory")) {
    EXPECT_THAT(held.err, HasSubstr("memory ran out")) << held;
  } else {
    EXPECT_THAT(held.out, HasSubstr("No space left on device")) << held;
    EXPECT_EQ(Shell("df -k --output=size /tmp /dev/shm | grep -c 32768", With("memory: 32M")).out,
              "2\n");
  }
}

// ---- Processes.

TEST_F(LimitsTest, AForkBombStaysWithinItsProcesses) {
  constexpr char kBomb[] =
      "python3 -c 'import os, time\n"
      "made = []\n"
      "for i in range(200):\n"
      "  try: child = os.fork()\n"
      "  except OSError: break\n"
      "  if child == 0: time.sleep(100)\n"
      "  made.append(child)\n"
      "print(len(made))\n"
      "for child in made: os.kill(child, 9); os.waitpid(child, 0)'";
  EXPECT_EQ(Bare({"bash", "-c", &kBomb[0]}).out, "200\n");
  const Outcome held = Shell(&kBomb[0], With("processes: 40"));
  const int made = std::stoi("0" + held.out);
  EXPECT_GT(made, 20) << held;
  EXPECT_LT(made, 40);
}

// ---- Output.

TEST_F(LimitsTest, ACellPrintsNoMoreThanItsOutput) {
  const std::string endless = "head -c 3M /dev/zero";
  EXPECT_EQ(Shell(endless, With("")).out.size(), 3 * kMebibyte);
  const Outcome held = Shell("yes; echo not reached", With("output: 1M"));
  EXPECT_EQ(held.out.size(), kMebibyte);
  EXPECT_EQ(held.status, 123) << held.err;
  EXPECT_THAT(held.err, AllOf(HasSubstr("the output limit was reached"), HasSubstr("1048576 bytes"),
                              HasSubstr("limits.output")));
  EXPECT_TRUE(Ends().back()["detail"].value("output_ended", false));
  const Outcome exact = Shell("head -c 1M /dev/zero", With("output: 1M"));
  EXPECT_EQ(exact.status, 0) << exact.err;
  EXPECT_EQ(exact.out.size(), kMebibyte);
}

TEST_F(LimitsTest, BothOutputsCountTogether) {
  const Outcome held =
      Shell("head -c 40K /dev/zero; head -c 40K /dev/zero >&2; sleep 100", With("output: 64K"));
  EXPECT_EQ(held.status, 123);
  EXPECT_EQ(held.out.size(), 40 * 1024);
  EXPECT_EQ(held.err.find("error: the output limit"), 24 * 1024);
  const Outcome joined =
      Shell("exec 2>&1; for i in {1..9}; do echo $i; echo $i >&2; done", With("output: 64K"));
  EXPECT_EQ(joined.out, "1\n1\n2\n2\n3\n3\n4\n4\n5\n5\n6\n6\n7\n7\n8\n8\n9\n9\n");
}

TEST_F(LimitsTest, WhatGoesToAFileOrATerminalCountsToo) {
  const std::string file = Path("out");
  Options options = With("output: 64K");
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  options.stdout_fd = fd;
  EXPECT_EQ(Shell("yes", options).status, 123);
  close(fd);
  EXPECT_EQ(std::filesystem::file_size(file), 64U * 1024);
  Terminal terminal(CellrunCommand(RunArguments({"bash", "-c", "yes"}, With("output: 8K")), {}));
  EXPECT_EQ(terminal.Wait().status, 123);
}

TEST_F(LimitsTest, AGhostPrintsNoMoreThanItsRuleSays) {
  const Outcome outcome =
      Shell("sh -c 'yes; echo not reached'; echo status=$?", Ghosts("limits: {output: 64K}"));
  ASSERT_GT(outcome.out.size(), 64U * 1024) << outcome;
  EXPECT_EQ(outcome.out.substr(64UL * 1024), "status=123\n");
  EXPECT_EQ(outcome.out.substr(0, 64UL * 1024).find_first_not_of("y\n"), std::string::npos);
  EXPECT_THAT(outcome.err,
              AllOf(HasSubstr("printed more than 65536 bytes"), HasSubstr("all that its rule")));
  const std::string around = "sh -c 'yes >&7' 7>&1 2>/dev/null | wc -c";
  EXPECT_EQ(Shell(around, Ghosts("limits: {output: 64K}")).out, "0\n") << "no way round";
  const std::string file =
      "sh -c 'head -c 40K /dev/zero; head -c 40K /dev/zero >&2' >out 2>err; cat out err | wc -c";
  EXPECT_EQ(Shell(file, Ghosts("")).out, "81920\n");
  const std::string message = "; tr -d '\\0' <err >&2; tr -cd '\\0' <err | wc -c";
  const Outcome both = Shell(file + message, Ghosts("limits: {output: 64K}"));
  EXPECT_THAT(both.out, HasSubstr("\n24576\n")) << both;
  EXPECT_THAT(both.err, HasSubstr("printed more than 65536 bytes"));
  EXPECT_EQ(Shell("sh -c 'exit 7'; echo $?", Ghosts("limits: {output: 64K}")).out, "7\n");
}

// ---- Ghosts.

TEST_F(LimitsTest, AGhostHasItsOwnMemoryAndProcessors) {
  const std::string much = "cat >much <<'X'\n" + Allocate(200, 1) + "\nX\nsh much; echo status=$?";
  EXPECT_EQ(Shell(much, Ghosts("")).out, "0 failed\nstatus=0\n");
  const Outcome lean = Shell(much, Ghosts("limits: {memory: 100M}"));
  EXPECT_EQ(lean.out, "1 failed\nstatus=0\n") << lean;
  const bool said = lean.err.find("limits.memory of a ghost") != std::string::npos;
  EXPECT_EQ(said, !HostHas("memory")) << lean;
  const std::string hog = "cat >hog <<'X'\n" + std::string(&kHog[0]) + "\nX\nsh hog";
  const Outcome held = Shell(hog, Ghosts("limits: {cpus: 0.1}"));
  ASSERT_EQ(held.status, 0) << held;
  if (HostHas("cpu")) {
    const Outcome bare = Bare({"bash", "-c", &kHog[0]});
    EXPECT_TRUE(IsATenth(ShareOf(held), ShareOf(bare))) << held << bare;
  } else {
    EXPECT_LT(ShareOf(held).seconds, 3.3) << held;
  }
}

TEST_F(LimitsTest, AGhostThatTheKernelEndsForMemorySaysSo) {
  if (!HostHas("memory")) return;  // there it gets an error of its own
  const Outcome outcome =
      Shell("sh -c 'exec python3 -c \"x = bytearray(b\\\"x\\\") * (200 << 20)\"'; echo status=$?",
            Ghosts("limits: {memory: 100M}"));
  EXPECT_EQ(outcome.out, "status=137\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("memory ran out")) << outcome;
}

// ---- What must be there.

TEST_F(LimitsTest, ARequiredControllerIsThereOrNothingStarts) {
  for (const char* controller : {"memory", "pids", "cpu"}) {
    const std::string layer = std::string("cgroup.") + controller;
    const Outcome outcome = Shell("echo ran", With("", "require: [" + layer + "]\n"));
    if (HostHas(controller)) {
      EXPECT_EQ(outcome.out, "ran\n") << layer << ": " << outcome;
    } else {
      EXPECT_EQ(outcome.status, 125) << layer << ": " << outcome;
      EXPECT_EQ(outcome.out, "");
      EXPECT_THAT(outcome.err, AllOf(HasSubstr("the profile requires " + layer),
                                     HasSubstr("which it cannot have here: ")));
    }
  }
}

// The launcher's own limits hold for the cell as well.
TEST_F(LimitsTest, AsRootWhatLimitsTheLauncherLimitsTheCell) {
  const std::string outer = "/sys/fs/cgroup/cpu" + GroupIn("cpu") + "/limits-" +
                            std::filesystem::path(Path("")).parent_path().filename().string();
  if (mkdir(outer.c_str(), 0755) != 0) return;  // not of version 1
  std::ofstream(outer + "/cpu.cfs_quota_us") << "10000";
  StartBroker();  // not in it
  Options options = With("cpus: 1");
  options.in_child = [outer] { std::ofstream(outer + "/cgroup.procs") << getpid(); };
  const Outcome held = Shell(&kHog[0], options);
  EXPECT_EQ(held.status, 0) << held;
  EXPECT_LT(ShareOf(held).seconds, 0.45) << held;
  EXPECT_TRUE(Until([&] { return rmdir(outer.c_str()) == 0; })) << outer;
}

TEST_F(LimitsTest, TheReportSaysWhatHoldsForTheWholeCell) {
  const auto has = [](const std::vector<std::string>& layers, const std::string& layer) {
    return std::find(layers.begin(), layers.end(), layer) != layers.end();
  };
  const std::vector<std::string> all = Layers("memory: 1G, cpus: 1, processes: 100");
  for (const char* controller : {"memory", "pids", "cpu"})
    EXPECT_EQ(has(all, std::string("cgroup.") + controller), HostHas(controller)) << controller;
  const std::vector<std::string> none = Layers("files: 100");
  EXPECT_FALSE(has(none, "cgroup.cpu"));
  EXPECT_FALSE(has(none, "cgroup.memory"));
}

TEST_F(LimitsTest, NothingIsLeftWhenTheBrokerIsKilled) {
  if (!HostHas("cpu")) return;
  StartBroker();
  Process running = Start({"bash", "-c", "echo up; sleep 1000"}, With("cpus: 1, processes: 100"));
  ASSERT_TRUE(running.WaitForOutput("up\n")) << running.err();
  std::vector<std::string> made;
  for (const auto& note : std::filesystem::directory_iterator(RuntimeDirectory() + "/cgroups"))
    made.push_back(std::filesystem::read_symlink(note.path()));
  ASSERT_FALSE(made.empty());
  for (const std::string& cgroup : made) EXPECT_TRUE(Exists(cgroup)) << cgroup;
  kill(BrokerPid(), SIGKILL);
  EXPECT_EQ(running.Wait().status, 125);
  MayLeaveSockets();
  EXPECT_EQ(Shell("echo again", With("")).out, "again\n");
  for (const std::string& cgroup : made)
    EXPECT_TRUE(Until([&] { return !Exists(cgroup); })) << cgroup;
}

}  // namespace
}  // namespace cellrun::test
