// SPDX-License-Identifier: Apache-2.0
// The second wall around a cell's network: what it refuses by itself, to a process that nothing
// else holds; that it is lost by nobody's notice; and that nothing of it stays.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "lib/base/unique_fd.h"
#include "tests/support/moment.h"
#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr std::chrono::seconds kSoon{20};

bool Await(const std::function<bool()>& condition) {
  const auto end = std::chrono::steady_clock::now() + kSoon;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

class WallTest : public Sandbox {
 protected:
  struct Running {
    Process process;
    pid_t init = 0;
    std::string cgroup = {}, id = {};
  };
  Options With(const std::string& yaml) {
    return {
        .profile = WriteProfile("cellrun: 1\nname: walled\ncommands: {default: allow}\n" + yaml),
        .flags = {"--name", "walled"}};
  }
  json Cell() {
    const json cells = json::parse(Cellrun({"ps", "-o", "json"}).out, nullptr, false);
    return cells.is_array() && cells.size() == 1 ? cells[0] : json();
  }
  // One that waits, and where it is.
  Running Begin(const Options& options) {
    Running running{.process = Start({"bash", "-c", "echo up; sleep 1000"}, options)};
    EXPECT_TRUE(running.process.WaitForOutput("up\n")) << running.process.err();
    const json cell = Cell();
    running.init = cell.value("pid", 0);
    running.id = cell.value("id", "");
    running.cgroup = cell.value("cgroup", "");
    return running;
  }
  // What tests/integration/data/wall.py says, a line for each attempt.
  Words Try(pid_t network, const std::string& cgroup, const Words& attempts) {
    Words argv = {"python3", Data("wall.py"), std::to_string(network), cgroup};
    argv.insert(argv.end(), attempts.begin(), attempts.end());
    const Outcome outcome = Bare(argv);
    EXPECT_EQ(outcome.status, 0) << outcome;
    Words lines;
    std::istringstream out(outcome.out);
    for (std::string line; std::getline(out, line);) lines.push_back(line);
    return lines;
  }
  std::vector<json> Refusals() {
    std::vector<json> found;
    for (json& record : History()) {
      if (record.value("reason", "").starts_with("second wall: "))
        found.push_back(std::move(record));
    }
    return found;
  }
};

TEST_F(WallTest, AsUserThereIsNoneAndRequiringItIsRefused) {
  Options options = With("");
  options.flags = {"--report", Path("report.json")};
  const Outcome open = Run({"true"}, options);
  EXPECT_EQ(open.status, 0) << open;
  EXPECT_EQ(open.err, "");
  EXPECT_THAT(json::parse(Read(Path("report.json")))["layers"], Not(Contains("ebpf")));
  const Outcome refused = Run({"touch", Work("ran")}, With("require: [ebpf]\n"));
  EXPECT_EQ(refused.status, 125);
  EXPECT_THAT(refused.err, AllOf(HasSubstr("cause: the profile requires ebpf ("),
                                 HasSubstr(":4:11), which only cells that root runs have\n")));
  EXPECT_FALSE(Exists(Work("ran")));
}

TEST_F(WallTest, AsRootItIsALayerThatCanBeRequired) {
  Options options = With("require: [ebpf]\n");
  options.flags = {"--report", Path("report.json")};
  const Outcome outcome = Run({"cat", "/proc/self/cgroup"}, options);
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(outcome.err, "");
  EXPECT_THAT(outcome.out, Not(HasSubstr(".."))) << "where the host has it is not shown";
  EXPECT_THAT(json::parse(Read(Path("report.json")))["layers"], Contains("ebpf"));
}

// Where bpf(2) is forbidden to root as well, as in most containers.
TEST_F(WallTest, AsRootWithoutBpfItIsSaidAndRequiringItIsRefused) {
  const auto forbid = [](Options options) {
    options.in_child = [] {
      std::array program = {
          sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, offsetof(seccomp_data, nr)},
          sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_bpf},
          sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
          sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
      };
      const sock_fprog filter{.len = program.size(), .filter = program.data()};
      if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) _exit(99);
    };
    return options;
  };
  const Outcome said = Run({"echo", "ran"}, forbid(With("")));
  EXPECT_EQ(said.out, "ran\n") << said;
  EXPECT_THAT(said.err, HasSubstr("not enforced: the second wall around the network (eBPF): "));
  const Outcome refused = Run({"touch", Work("ran")}, forbid(With("require: [ebpf]\n")));
  EXPECT_EQ(refused.status, 125);
  EXPECT_THAT(refused.err, HasSubstr(":4:11), which this host does not have: "));
  EXPECT_FALSE(Exists(Work("ran")));
}

TEST_F(WallTest, AsRootItAloneStopsAProcessThatIsOutsideOfTheNamespaces) {
  const Server server(Server::Say("hello\n"));
  const Words attempts = {"tcp,127.0.0.1," + server.port_text(), "send,127.0.0.1,9", "raw,1",
                          "unix"};
  EXPECT_THAT(Try(0, "-", attempts),
              ElementsAre(attempts[0] + " ok", attempts[1] + " ok", "raw,1 ok", "unix ok"))
      << "without it, it connects";
  Running cell = Begin(With(""));
  ASSERT_NE(cell.cgroup, "");
  const int before = server.accepted();
  EXPECT_THAT(
      Try(0, cell.cgroup, attempts),
      ElementsAre(attempts[0] + " EPERM", attempts[1] + " EPERM", "raw,1 EPERM", "unix ok"));
  EXPECT_EQ(server.accepted(), before);
  ASSERT_TRUE(Await([&] { return Refusals().size() == 3; }));
  const json refusal = Refusals()[0];
  EXPECT_EQ(refusal["kind"], "connect");
  EXPECT_EQ(refusal["cell"], cell.id);
  EXPECT_EQ(refusal["verdict"], "deny");
  EXPECT_EQ(refusal["reason"],
            "second wall: making a socket by python3: the socket is of a network namespace that is "
            "not the cell's");
  EXPECT_EQ(Cell()["wall"], json({{"refused", 3}, {"unrecorded", 0}}));
}

// In the cell's own network namespace, but without its filter: every address is local to the
// gateway behind it, so without the wall a connect gets there.
TEST_F(WallTest, AsRootItAloneKeepsACellToWhatCouldBeLetOut) {
  Running cell = Begin(With("network: {default: deny, rules: [{to: host, then: allow}]}\n"));
  ASSERT_NE(cell.cgroup, "");
  const Words attempts = {"tcp,192.0.2.1,80",        "udp,192.0.2.1,53",
                          "send,192.0.2.1,53",       "fastopen,192.0.2.1,80",
                          "tcp,2001:db8::1,80",      "send,2001:db8::1,53",
                          "tcp,::ffff:192.0.2.1,80", "raw,17"};
  Words bare = Try(cell.init, "-", attempts);
  ASSERT_EQ(bare.size(), attempts.size());
  for (const std::string& line : bare) EXPECT_THAT(line, Not(HasSubstr("EPERM")));
  Words held = Try(cell.init, cell.cgroup, attempts);
  ASSERT_EQ(held.size(), attempts.size());
  for (const std::string& line : held) EXPECT_THAT(line, HasSubstr(" EPERM"));
  // What is the cell's stays the cell's: its loopback, where names lead, a route probe.
  const Words own = {"tcp,127.0.0.1,9", "tcp,::1,9", "tcp,198.18.0.1,9", "send,198.18.0.3,53",
                     "udp,192.0.2.1,0"};
  EXPECT_THAT(
      Try(cell.init, cell.cgroup, own),
      ElementsAre("tcp,127.0.0.1,9 ECONNREFUSED", "tcp,::1,9 ECONNREFUSED",
                  "tcp,198.18.0.1,9 ECONNREFUSED", "send,198.18.0.3,53 ok", "udp,192.0.2.1,0 ok"));
  ASSERT_TRUE(Await([&] { return Refusals().size() == attempts.size(); })) << json(Refusals());
  const json refusal = Refusals()[0];
  EXPECT_EQ(refusal["to"], "192.0.2.1");
  EXPECT_EQ(refusal["port"], 80);
  EXPECT_EQ(refusal["proto"], "tcp");
}

TEST_F(WallTest, AsRootItFollowsTheRulesOfARunningCell) {
  Running cell = Begin(With("network: {default: deny, rules: [{to: host, then: allow}]}\n"));
  const auto reach = [&] { return Try(cell.init, cell.cgroup, {"udp,192.0.2.1,53"}); };
  EXPECT_THAT(reach(), ElementsAre("udp,192.0.2.1,53 EPERM"));
  ASSERT_EQ(Cellrun({"egress", "add", "walled", "192.0.2.1:80"}).status, 0);
  EXPECT_THAT(reach(), ElementsAre("udp,192.0.2.1,53 ok"));
  ASSERT_EQ(Cellrun({"egress", "remove", "walled", "e1"}).status, 0);
  EXPECT_THAT(reach(), ElementsAre("udp,192.0.2.1,53 EPERM"));
}

// By the broker's own timer: nobody changes anything.
TEST_F(WallTest, AsRootARuleThatExpiresGoesFromIt) {
  const std::time_t then = std::time(nullptr) + 6;
  Running cell =
      Begin(With("network:\n  rules:\n    - {to: host, then: allow}\n    - {to: 192.0.2.1, "
                 "then: allow, expires: " +
                 MomentText(then) + "}\n"));
  const auto reach = [&] { return Try(cell.init, cell.cgroup, {"udp,192.0.2.1,53"}); };
  const Words open = {"udp,192.0.2.1,53 ok"}, closed = {"udp,192.0.2.1,53 EPERM"};
  const Words before = reach();
  ASSERT_LT(std::time(nullptr), then) << "the cell took too long to start";
  EXPECT_EQ(before, open);
  EXPECT_TRUE(Await([&] { return reach() == closed; }));
  // time(2) may be a tick behind.
  EXPECT_TRUE(std::chrono::system_clock::now() >= std::chrono::system_clock::from_time_t(then));
  EXPECT_THAT(Try(cell.init, cell.cgroup, {"tcp,198.18.0.1,9"}),
              ElementsAre("tcp,198.18.0.1,9 ECONNREFUSED"))
      << "what does not expire stays";
}

TEST_F(WallTest, AsRootNothingIsLostInAFlood) {
  constexpr int kMany = 5000;
  Running cell = Begin(With(""));
  EXPECT_THAT(Try(0, cell.cgroup, {"many," + std::to_string(kMany)}),
              ElementsAre("many," + std::to_string(kMany) + " ok"));
  const auto counted = [&] {
    std::int64_t sum = 0;
    for (const json& record : Refusals()) sum += record.value("count", 1);
    return sum;
  };
  EXPECT_TRUE(Await([&] { return counted() == kMany; })) << counted();
  EXPECT_LT(Refusals().size(), 1000U);
  EXPECT_EQ(Cell()["wall"]["refused"], kMany);
  EXPECT_GT(Cell()["wall"]["unrecorded"], 0);
  cell.process.Signal(SIGTERM);
  cell.process.Wait();
  EXPECT_EQ(counted(), kMany);
  json ended;
  for (const json& record : History()) {
    if (record.value("kind", "") == "cell" && record.value("result", "") == "ended") ended = record;
  }
  EXPECT_THAT(ended.dump(), HasSubstr("5000"));
}

TEST_F(WallTest, AsRootItsCgroupIsGoneAfterTheCell) {
  Running cell = Begin(With(""));
  EXPECT_TRUE(Exists(cell.cgroup));
  cell.process.Signal(SIGTERM);
  cell.process.Wait();
  EXPECT_TRUE(Await([&] { return !Exists(cell.cgroup); }));
  EXPECT_TRUE(Await([&] { return std::filesystem::is_empty(RuntimeDirectory() + "/cgroups"); }));
}

TEST_F(WallTest, AsRootAKilledBrokerLeavesNothingAfterTheNextStart) {
  MayLeaveSockets();
  Running cell = Begin(With(""));
  kill(BrokerPid(), SIGKILL);
  EXPECT_EQ(cell.process.Wait().status, 125);
  EXPECT_TRUE(Exists(cell.cgroup)) << "nobody was there to remove it";
  EXPECT_EQ(Run({"true"}, With("")).status, 0);
  EXPECT_TRUE(Await([&] { return !Exists(cell.cgroup); }));
  EXPECT_TRUE(Await([&] { return std::filesystem::is_empty(RuntimeDirectory() + "/cgroups"); }));
}

// ---- Loss. What an administrator of the host may do, by mistake or not.

long Bpf(int command, bpf_attr& attributes) {
  return syscall(SYS_bpf, command, &attributes, sizeof attributes);
}

// Detaches one link of the cgroup; false if it has none.
bool DetachOne(std::uint64_t cgroup_id) {
  bpf_attr next{};
  while (Bpf(BPF_LINK_GET_NEXT_ID, next) == 0) {
    next.start_id = next.next_id;
    bpf_attr open{};
    open.link_id = next.next_id;
    const UniqueFd link(static_cast<int>(Bpf(BPF_LINK_GET_FD_BY_ID, open)));
    if (!link.valid()) continue;
    bpf_link_info info{};
    bpf_attr look{};
    look.info.bpf_fd = static_cast<std::uint32_t>(link.get());
    look.info.info_len = sizeof info;
    look.info.info = reinterpret_cast<std::uintptr_t>(&info);
    if (Bpf(BPF_OBJ_GET_INFO_BY_FD, look) != 0 || info.type != BPF_LINK_TYPE_CGROUP ||
        info.cgroup.cgroup_id != cgroup_id)
      continue;
    bpf_attr detach{};
    detach.link_detach.link_fd = static_cast<std::uint32_t>(link.get());
    return Bpf(BPF_LINK_DETACH, detach) == 0;
  }
  return false;
}

TEST_F(WallTest, AsRootACellEndsWhenAHookIsDetached) {
  Running cell = Begin(With(""));
  struct stat group {};
  ASSERT_EQ(stat(cell.cgroup.c_str(), &group), 0);
  ASSERT_TRUE(DetachOne(group.st_ino));
  const Outcome outcome = cell.process.Wait();
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.err, HasSubstr("the second wall around its network was lost: "));
  EXPECT_THAT(outcome.err, HasSubstr(" was detached"));
  ASSERT_EQ(Refusals().size(), 1U);
  EXPECT_EQ(Refusals()[0]["result"], "lost");
}

// Into the cgroup around the cell's.
void MoveOut(const std::string& cgroup, const std::string& pid) {
  const std::string outside =
      std::filesystem::path(cgroup).parent_path().string() + "/cgroup.procs";
  const UniqueFd processes(open(outside.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(write(processes.get(), pid.data(), pid.size()), static_cast<ssize_t>(pid.size()));
}

// Not init, but one that it has started.
TEST_F(WallTest, AsRootACellEndsWhenAnyProcessOfItIsMovedOut) {
  Running cell = Begin(With(""));
  std::istringstream inside(Read(cell.cgroup + "/cgroup.procs"));
  std::string other;
  for (std::string pid; inside >> pid;) {
    if (pid != std::to_string(cell.init)) other = pid;
  }
  ASSERT_NE(other, "");
  MoveOut(cell.cgroup, other);
  const Outcome outcome = cell.process.Wait();
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.err, HasSubstr("a process was moved out of its cgroup"));
}

// Processes that come and go, and such as have ended and nobody waits for, are no loss.
TEST_F(WallTest, AsRootComingAndGoingIsNoLoss) {
  const Outcome outcome = Run({"bash", "-c",
                               "end=$((SECONDS + 4)); while [ $SECONDS -lt $end ]; do true & true; "
                               "(true) & done; wait; echo whole"},
                              With(""));
  EXPECT_EQ(outcome.out, "whole\n") << outcome;
  const Outcome zombies = Run({"python3", "-c",
                               "import os, time\n"
                               "for i in range(20):\n"
                               "  if os.fork() == 0: os._exit(0)\n"
                               "time.sleep(3.5)\n"
                               "print('whole')\n"},
                              With(""));
  EXPECT_EQ(zombies.out, "whole\n") << zombies;
}

TEST_F(WallTest, AsRootACellEndsWhenItIsMovedOutOfItsCgroup) {
  Running cell = Begin(With(""));
  MoveOut(cell.cgroup, std::to_string(cell.init));
  const Outcome outcome = cell.process.Wait();
  EXPECT_EQ(outcome.status, 125);
  EXPECT_THAT(outcome.err, HasSubstr("a process was moved out of its cgroup"));
}

}  // namespace
}  // namespace cellrun::test
