// SPDX-License-Identifier: Apache-2.0
// What a cell is: whose identity, which rights, which kernel surface, which network.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>

#include "tests/support/remains.h"
#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using testing::AllOf;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

class ConfinementTest : public Sandbox {
 protected:
  Options Open() { return {.profile = OpenProfile(), .flags = ProbeFlags()}; }
};

TEST_F(ConfinementTest, AsUserKeepsTheCallersIdentity) {
  const Outcome outcome = Shell("id -u; id -g; id -un; echo $HOME $USER; echo ~", Open());
  const std::string name = Bare({"id", "-un"}).out;
  EXPECT_EQ(outcome.out, std::to_string(getuid()) + "\n" + std::to_string(getgid()) + "\n" + name +
                             Home() + " " + name.substr(0, name.size() - 1) + "\n" + Home() + "\n")
      << outcome;
}

TEST_F(ConfinementTest, AsRootIsAnOrdinaryUserOfItsOwn) {
  const Outcome outcome = Shell("id -u; id -un; touch made; stat -c %u made . ", Open());
  EXPECT_EQ(outcome.out, "1000\ncell\n1000\n1000\n") << outcome;
  struct stat made {};
  ASSERT_EQ(stat(Work("made").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, 0U) << "what it writes belongs to the workspace's owner";
  Process running = Start({"bash", "-c", "echo up; exec sleep 1000"}, Open());
  ASSERT_TRUE(running.WaitForOutput("up\n"));
  std::vector<pid_t> sleepers;
  while (sleepers.empty()) sleepers = DescendantsRunning("sleep");
  const std::string status = Read("/proc/" + std::to_string(sleepers[0]) + "/status");
  const auto uid = status.find("Uid:\t");
  ASSERT_NE(uid, std::string::npos);
  EXPECT_GE(std::stol(status.substr(uid + 5)), 2080374784) << "a number that only this cell has";
}

// What runtimes do to their own threads by number, and what nobody does to another process.
TEST_F(ConfinementTest, LimitsAndPlacesItsOwnThreadsOnly) {
  const std::string script =
      "import os, resource, subprocess, threading\n"
      "def attempt(what, call):\n"
      "    try: call(); print(what, 'ok')\n"
      "    except OSError as error: print(what, error.errno)\n"
      "def change(what, pid):\n"
      "    processors = os.sched_getaffinity(0)\n"
      "    files = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
      "    attempt(what + ' processors', lambda: os.sched_setaffinity(pid, processors))\n"
      "    attempt(what + ' policy', lambda: os.sched_setscheduler(pid, os.SCHED_OTHER, "
      "os.sched_param(0)))\n"
      "    attempt(what + ' priority', lambda: os.setpriority(os.PRIO_PROCESS, pid, "
      "os.getpriority(os.PRIO_PROCESS, 0)))\n"
      "    attempt(what + ' limit', lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, files))\n"
      "change('self', os.getpid())\n"
      "thread = threading.Thread(target=lambda: change('thread', threading.get_native_id()))\n"
      "thread.start(); thread.join()\n"
      "child = subprocess.Popen(['sleep', '1000'])\n"
      "change('child', child.pid)\n"
      "change('init', 1)\n"
      "child.kill(); child.wait()\n";
  const auto all = [](const std::string& who, const std::string& outcome) {
    std::string lines;
    for (const char* what : {" processors ", " policy ", " priority ", " limit "})
      lines.append(who).append(what).append(outcome).append("\n");
    return lines;
  };
  const Outcome outcome = Run({"python3", "-c", script}, Open());
  EXPECT_EQ(outcome.out,
            all("self", "ok") + all("thread", "ok") + all("child", "1") + all("init", "1"))
      << outcome;
}

TEST_F(ConfinementTest, HasNoRightsAndCannotGainAny) {
  const Outcome outcome = Shell("cat /proc/self/status", Open());
  for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"}) {
    EXPECT_THAT(outcome.out, HasSubstr(std::string(set) + ":\t0000000000000000\n"));
  }
  EXPECT_THAT(outcome.out, HasSubstr("NoNewPrivs:\t1\n"));
  EXPECT_THAT(outcome.out, HasSubstr("Seccomp:\t2\n"));
  EXPECT_THAT(outcome.out, HasSubstr("Groups:\t"));
  const Outcome threads = Run({Probe(), "threads"}, Open());
  const auto lines = Lines(threads.out);
  EXPECT_GE(lines.size(), 2U * 3U) << threads;
  for (const auto& line : lines) {
    EXPECT_TRUE(line == "Seccomp:\t2" || line == "NoNewPrivs:\t1") << line;
  }
}

TEST_F(ConfinementTest, SharesNoNamespaceWithTheHost) {
  for (const char* kind : {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"}) {
    const std::string link = std::string("/proc/self/ns/") + kind;
    const Outcome inside = Run({"readlink", link}, Open());
    EXPECT_THAT(inside.out, HasSubstr(std::string(kind) + ":["));
    EXPECT_NE(inside.out, std::filesystem::read_symlink(link).string() + "\n");
  }
  const Outcome processes = Shell("ls -d /proc/[0-9]* | wc -l; hostname", Open());
  EXPECT_LE(std::stoi(processes.out), 5) << "it sees only its own processes: " << processes;
  EXPECT_THAT(processes.out, HasSubstr("\ncell\n"));
}

TEST_F(ConfinementTest, InheritsNoDescriptors) {
  const int leaked = open("/", O_RDONLY | O_DIRECTORY);  // without CLOEXEC on purpose
  Options options = Open();
  options.in_child = [] {
    for (int fd = 10; fd < 40; ++fd) dup2(2, fd);
  };
  const Outcome outcome = Run({Probe(), "fds"}, options);
  close(leaked);
  const auto lines = Lines(outcome.out);
  ASSERT_EQ(lines.size(), 3U) << outcome;
  for (const auto& line : lines) EXPECT_THAT(line, HasSubstr("pipe:")) << outcome;
}

TEST_F(ConfinementTest, LetsOnlyNamedVariablesIn) {
  Options options = Open();
  options.environment = {{"FOO", "secret"},
                         {"LANG", "C.UTF-8"},
                         {"LD_PRELOAD", "/nowhere.so"},
                         {"WANTED", "from outside"},
                         {"AWS_SECRET_ACCESS_KEY", "x"}};
  options.flags.insert(options.flags.end(), {"--env", "WANTED", "--env", "GIVEN=a=b"});
  const Outcome outcome = Run({"env"}, options);
  EXPECT_THAT(outcome.out,
              AllOf(Not(HasSubstr("FOO=")), Not(HasSubstr("LD_PRELOAD")), Not(HasSubstr("AWS_")),
                    Not(HasSubstr("CELLRUN_STATE_DIR")), HasSubstr("WANTED=from outside\n"),
                    HasSubstr("GIVEN=a=b\n"), HasSubstr("LANG=C.UTF-8\n"), HasSubstr("CELLRUN=1\n"),
                    HasSubstr("CELLRUN_CELL="), HasSubstr("CELLRUN_PROFILE="),
                    HasSubstr("TMPDIR=/tmp\n"), HasSubstr("HOME=" + Home() + "\n")))
      << outcome;
}

struct Attempt {
  const char* name;
  const char* inside;
  bool works_bare;  // for anybody
};
// What filter.md says about each; the bare run shows that the attempt is real.
constexpr Attempt kAttempts[] = {
    {"ptrace", "EPERM", true},
    {"process-vm-readv", "EPERM", true},
    {"unshare-user", "EPERM", true},
    {"clone-user", "EPERM", true},
    {"unshare-mounts", "EPERM", false},
    {"clone-fs", "EPERM", true},
    {"clone3", "ENOSYS", true},
    {"mount", "EPERM", false},
    {"fsopen", "EPERM", false},
    {"open-tree", "EPERM", false},
    {"chroot", "EPERM", false},
    {"setns", "EPERM", false},
    {"name-to-handle", "EPERM", true},
    {"bpf", "EPERM", false},
    {"perf", "EPERM", false},
    {"io-uring", "ENOSYS", true},
    {"io-setup", "ENOSYS", true},
    {"add-key", "EPERM", true},
    {"keyctl", "EPERM", true},
    {"userfaultfd", "EPERM", false},
    {"personality-32", "EPERM", true},
    {"personality-no-randomize", "ok", true},
    {"sethostname", "EPERM", false},
    {"syslog", "EPERM", false},
    {"set-mm", "EPERM", false},
    {"x32", "ENOSYS", false},
    {"unknown", "ENOSYS", false},
    {"packet-socket", "EAFNOSUPPORT", false},
    {"vsock-socket", "EAFNOSUPPORT", true},
    {"unix-socket", "ok", true},
    {"inet-socket", "ok", true},
    {"route-socket", "ok", true},
    {"nested-listener", "EPERM", false},
    {"mknod-device", "EPERM", false},
    {"prlimit-init", "EPERM", false},
    {"setpriority-init", "EPERM", false},
    {"init-fd", "EPERM", false},
    {"renice", "EACCES", false},
};

TEST_F(ConfinementTest, RefusesTheKernelSurfaceThatNobodyNeeds) {
  for (const auto& attempt : kAttempts) {
    if (attempt.works_bare) {
      EXPECT_EQ(Bare({Probe(), "sys", attempt.name}).out, std::string(attempt.name) + ": ok\n")
          << "the attempt proves nothing where it does not work outside";
    }
    EXPECT_EQ(Run({Probe(), "sys", attempt.name}, Open()).out,
              std::string(attempt.name) + ": " + attempt.inside + "\n");
  }
}

TEST_F(ConfinementTest, RefusesRawAndAuditSockets) {
  EXPECT_THAT(
      Run({Probe(), "sys", "raw-socket", "audit-socket"}, Open()).out,
      AllOf(Not(HasSubstr("ok")), HasSubstr("raw-socket: E"), HasSubstr("audit-socket: E")));
}

TEST_F(ConfinementTest, KeepsMemoryOfOthersFromBeingWrittenThroughProc) {
  EXPECT_EQ(Bare({Probe(), "sys", "proc-mem-write"}).out, "proc-mem-write: ok\n");
  EXPECT_EQ(Run({Probe(), "sys", "proc-mem-write"}, Open()).out, "proc-mem-write: EACCES\n");
}

TEST_F(ConfinementTest, CannotTypeIntoATerminal) {
  const Options options = Open();
  Terminal terminal(CellrunCommand(RunArguments({Probe(), "sys", "tiocsti"}, options), options));
  EXPECT_THAT(terminal.Wait().out, HasSubstr("tiocsti: EPERM"));
}

TEST_F(ConfinementTest, CannotHarmItsInit) {
  const Outcome outcome = Shell(
      "kill -9 1; kill -STOP 1; cat /proc/1/environ 2>&1 | wc -c; ls /proc/1/fd 2>&1; "
      "cat /proc/1/maps 2>&1 | head -1; echo alive",
      Open());
  EXPECT_THAT(outcome.out, HasSubstr("alive\n")) << outcome;
  EXPECT_THAT(outcome.out, AnyOf(HasSubstr("/proc/1/fd': Permission denied"),
                                 HasSubstr("/proc/1/fd': No such file")))
      << outcome;
  EXPECT_THAT(outcome.out, Not(HasSubstr("r-xp"))) << "the map of its memory";
}

TEST_F(ConfinementTest, RecordsWhatItRefusedInTheKernel) {
  EXPECT_EQ(Run({Probe(), "sys", "mount"}, Open()).out, "mount: EPERM\n");
  const Outcome history = Cellrun({"history", "--kind", "syscall", "-o", "jsonl"});
  EXPECT_THAT(history.out, HasSubstr("\"mount\"")) << history;
}

TEST_F(ConfinementTest, ReachesNoNetwork) {
  Write(
      Work("net.py"),
      "import errno, socket, time\n"
      "for family, address in ((socket.AF_INET, '192.0.2.1'), (socket.AF_INET6, '2001:db8::1')):\n"
      "    try:\n"
      "        socket.socket(family, socket.SOCK_STREAM).connect((address, 80)); "
      "print('connected')\n"
      "    except OSError as error:\n"
      "        print(errno.errorcode[error.errno])\n"
      "begin = time.monotonic()\n"
      "try:\n"
      "    socket.getaddrinfo('example.com', 80); print('resolved')\n"
      "except socket.gaierror:\n"
      "    print('no name', time.monotonic() - begin < 2)\n"
      "server = socket.create_server(('127.0.0.1', 0))\n"
      "client = socket.create_connection(server.getsockname())\n"
      "peer, _ = server.accept(); peer.sendall(b'loopback'); print(client.recv(20).decode())\n"
      "server6 = socket.create_server(('::1', 0), family=socket.AF_INET6)\n"
      "socket.create_connection(server6.getsockname()[:2]); print('loopback 6')\n"
      "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
      "try:\n"
      "    udp.sendto(b'x', ('192.0.2.1', 53)); print('sent')\n"
      "except OSError as error:\n"
      "    print(errno.errorcode[error.errno])\n"
      "print(sorted(name for _, name in socket.if_nameindex()))\n");
  const Outcome outcome = Run({"python3", "net.py"}, Open());
  const auto lines = Lines(outcome.out);
  ASSERT_EQ(lines.size(), 7U) << outcome;
  EXPECT_THAT(lines[0], AnyOf("ENETUNREACH", "EACCES", "EPERM", "ECONNREFUSED"));
  EXPECT_THAT(lines[1], AnyOf("ENETUNREACH", "EACCES", "EPERM", "ECONNREFUSED", "EADDRNOTAVAIL"));
  EXPECT_EQ(lines[2], "no name True");
  EXPECT_EQ(lines[3], "loopback");
  EXPECT_EQ(lines[4], "loopback 6");
  EXPECT_THAT(lines[5], AnyOf("ENETUNREACH", "EACCES", "EPERM"));
  EXPECT_EQ(lines[6], "['lo']");
}

TEST_F(ConfinementTest, DoesNotReachTheHostsLoopbackOrAbstractSockets) {
  // A server of ours on the host, by address and by abstract name.
  Write(Work("server.py"),
        "import socket, sys\n"
        "tcp = socket.create_server(('127.0.0.1', 0))\n"
        "unix = socket.socket(socket.AF_UNIX); unix.bind('\\0cellrun-test-' + sys.argv[1]); "
        "unix.listen()\n"
        "print(tcp.getsockname()[1], flush=True); sys.stdin.read()\n");
  Write(Work("client.py"),
        "import socket, sys\n"
        "for family, address in ((socket.AF_INET, ('127.0.0.1', int(sys.argv[1]))),\n"
        "                        (socket.AF_UNIX, '\\0cellrun-test-' + sys.argv[2])):\n"
        "    try:\n"
        "        socket.socket(family).connect(address); print('connected')\n"
        "    except OSError: print('refused')\n");
  Options hold;
  hold.hold_input = true;
  Command command = CellrunCommand({}, hold);
  const std::string tag = std::to_string(getpid());
  command.argv = {"python3", "server.py", tag};
  Process server(std::move(command));
  ASSERT_TRUE(server.WaitForOutput("\n"));
  const std::string port = server.out().substr(0, server.out().size() - 1);
  EXPECT_EQ(Bare({"python3", "client.py", port, tag}).out, "connected\nconnected\n");
  EXPECT_EQ(Run({"python3", "client.py", port, tag}, Open()).out, "refused\nrefused\n");
  server.CloseInput();
  EXPECT_EQ(server.Wait().status, 0);
}

TEST_F(ConfinementTest, AppliesTheLimitsThatItCan) {
  Options options = Open();
  options.profile = WriteProfile(
      "cellrun: 1\nname: limited\nextends: [base]\ncommands: {default: allow}\n"
      "limits: {files: 200}\n");
  const Outcome outcome = Shell("ulimit -n; ulimit -Hn", options);
  EXPECT_EQ(outcome.out, "200\n200\n") << outcome;
}

// A controller of cgroups: LimitsTest.
TEST_F(ConfinementTest, AsUserDoesNotStartWithoutALayerThatTheProfileRequires) {
  Options options = Open();
  options.profile = WriteProfile(
      "cellrun: 1\nname: demanding\nextends: [base]\nrequire: [idmap]\n"
      "commands: {default: allow}\n");
  const Outcome outcome = Run({"true"}, options);
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, AllOf(HasSubstr("error: "), HasSubstr("idmap")));
}

}  // namespace
}  // namespace cellrun::test
