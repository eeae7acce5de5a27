// SPDX-License-Identifier: Apache-2.0
// D and E: out of namespaces, tree, terminal and descriptors.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>

#include "tests/escape/escape.h"
#include "tests/support/remains.h"

namespace cellrun::test {
namespace {

Words Program_(const Words& attack) {
  Words argv = {Escape::Program("escape_reach")};
  argv.insert(argv.end(), attack.begin(), attack.end());
  return argv;
}

void UserNamespaces(Escape& escape) {
  escape.Try({.argv = Program_({"user-namespaces"})});
}
void Namespaces(Escape& escape) {
  escape.Try({.argv = Program_({"namespaces"}), .bare = Shown::kInNamespaces});
}
void Mounts(Escape& escape) {
  const std::string mounts = Escape::Read("/proc/self/mountinfo");
  const std::string given = escape.Path("given");
  escape.Write(given + "/file", "x");
  Options options;
  options.flags = {"--read", given};
  escape.Try({.argv = Program_({"mounts", escape.Work("place"), given}),
              .bare = Shown::kInNamespaces,
              .prepare = [&escape] { mkdir(escape.Work("place").c_str(), 0755); },
              .options = options});
  // What the cell sees is what it saw before; and nothing of it is seen outside.
  const Outcome tables =
      escape.Shell("cat /proc/self/mountinfo > before; " + Escape::Program("escape_reach") +
                       " mounts place " + given +
                       " > /dev/null; cat /proc/self/mountinfo > after; "
                       "cmp before after && ! grep -E 'shared:|master:' after",
                   [&] {
                     Options with = escape.Using("");
                     with.flags.insert(with.flags.end(), {"--read", given});
                     return with;
                   }());
  escape.MustHold(tables.status != 0,
                  "the cell's mounts have changed, or are shared: " + tables.out);
  escape.MustHold(
      Escape::Read("/proc/self/mountinfo") != mounts && !MountsMentioning(escape.Path("")).empty(),
      "the host's mounts have changed");
}
void KernelFiles(Escape& escape) {
  escape.Try({.argv = Program_({"kernel-files"}), .bare = Shown::kAsRoot});
}
void KernelSecrets(Escape& escape) {
  escape.Try({.argv = Program_({"kernel-secrets"})});
}
void Cgroups(Escape& escape) {
  escape.Try({.argv = Program_({"cgroups"}), .bare = Shown::kAsRoot});
}
void Devices(Escape& escape) {
  escape.Try({.argv = Program_({"devices", escape.Work("node")}),
              .bare = Shown::kAsRoot,
              .prepare = [&escape] {
                const std::string node = escape.Work("node");
                if (!Escape::IsRootLane()) return;  // others cannot make one
                ASSERT_EQ(mknod(node.c_str(), S_IFCHR | 0666, makedev(1, 5)), 0);
                ASSERT_EQ(chmod(node.c_str(), 0666), 0);
              }});
}

void SocketsInTree(Escape& escape) {
  // The operator's own sockets, at the usual places.
  Process server = escape.Outside(
      {"python3", "-c",
       "import os, socket, sys\n"
       "held = []\n"
       "for path in sys.argv[1:]:\n"
       "    os.makedirs(os.path.dirname(path), exist_ok=True)\n"
       "    s = socket.socket(socket.AF_UNIX); s.bind(path); s.listen(); held.append(s)\n"
       "print('ready', flush=True); sys.stdin.read()\n",
       escape.Home(".ssh/agent"), escape.Home(".gnupg/S.gpg-agent"), escape.Path("docker.sock")},
      "ready");
  escape.Try(
      {.argv = Program_(
           {"connect-by-path", escape.Home(".ssh/agent"), escape.Home(".gnupg/S.gpg-agent"),
            escape.Path("docker.sock"), "/proc/self/root" + escape.Path("docker.sock"),
            "/run/docker.sock", "/var/run/docker.sock", "/run/dbus/system_bus_socket",
            "/run/systemd/private", "/run/containerd/containerd.sock",
            escape.RuntimeDirectory() + "/launch.sock", escape.RuntimeDirectory() + "/api.sock"})});
  Options options = escape.Using("");
  const Outcome found = escape.Run(Program_({"sockets-in-tree", "/"}), options);
  // One that is the cell's own, and takes nothing but proposals.
  escape.MustHold(found.out != "socket: /run/cellrun/broker.sock\nwon: 1 sockets\n", found.out);
}

void Offers(Escape& escape) {
  const std::string tag = "esc" + std::to_string(getpid());
  Process other = escape.Outside(Program_({"offer", tag}), "port ");
  int port = 0;
  ASSERT_EQ(sscanf(other.out().c_str(), "port %d", &port), 1);
  escape.Try({.argv = Program_({"find", tag, std::to_string(port)})});
  other.CloseInput();
  EXPECT_EQ(other.Wait().status, 0);
}
// The same between two cells, which share their workspace and nothing else.
void OtherCell(Escape& escape) {
  const std::string tag = "esc" + std::to_string(getpid());
  Options hold = escape.Using("");
  hold.hold_input = true;
  const auto port_of = [](Process& process) {
    int port = 0;
    EXPECT_TRUE(process.WaitForOutput("pid ")) << process.err();
    EXPECT_EQ(sscanf(process.out().c_str(), "port %d", &port), 1);
    return std::to_string(port);
  };
  {
    Process bare = escape.Outside(Program_({"offer", tag}), "pid ");
    const Outcome found = escape.Bare(Program_({"find", tag, port_of(bare)}));
    escape.MustWin(found.status == 10, found.out);
    bare.CloseInput();
    EXPECT_EQ(bare.Wait().status, 0);
  }
  Process other = escape.Start(Program_({"offer", tag}), hold);
  const Outcome found = escape.Run(Program_({"find", tag, port_of(other)}), escape.Using(""));
  EXPECT_EQ(found.status, 11) << found;
  escape.MustHold(found.status == 10, found.out);
  other.CloseInput();
  EXPECT_EQ(other.Wait().status, 0);
}

// ---- D12: a process outside, of the same user where that is possible

Process Victim(Escape& escape) {
  return escape.Outside({"bash", "-c", "echo up; exec sleep 1000"}, "up");
}
void Signals(Escape& escape) {
  // Its number is known only when it runs: each of the two gets one of its own.
  Process first = Victim(escape);
  const std::string bare_number = std::to_string(first.pid());
  const Outcome bare = escape.Bare(Program_({"signals", bare_number}));
  escape.MustWin(bare.status == 10 && Escape::Ends(first.pid()), bare.out);
  Process second = Victim(escape);
  const Outcome cell =
      escape.Run(Program_({"signals", std::to_string(second.pid())}), escape.Using(""));
  EXPECT_EQ(cell.status, 11) << cell;
  escape.MustHold(cell.status == 10 || Escape::Ends(second.pid()), cell.out);
}
void SignalEverybody(Escape& escape) {
  Process victim = Victim(escape);
  Attack attack{.argv = Program_({"signal-everybody"}), .bare = Shown::kWouldHarm};
  attack.damage = [&victim] {
    return Escape::Ends(victim.pid()) ? "the process outside has ended" : "";
  };
  escape.Try(attack);
  EXPECT_GT(escape.BrokerPid(), 0) << "nor the broker";
}
// A descriptor of a process, handed in over a socket in the workspace.
void ReceivedProcess(Escape& escape) {
  const std::string socket = escape.Work("socket");
  std::vector<Process> victims, senders;
  Attack attack{.argv = Program_({"received-process", socket})};
  attack.prepare = [&] {
    senders.clear();
    victims.clear();
    victims.push_back(Victim(escape));
    senders.push_back(escape.Outside(
        Program_({"send-process", socket, std::to_string(victims[0].pid())}), "listening"));
  };
  attack.damage = [&victims] {
    return Escape::Ends(victims[0].pid()) ? "the process outside has ended" : "";
  };
  escape.Try(attack);
}

void Typing(Escape& escape) {
  const auto play = [&](const Words& words, Options options) {
    Command command = escape.CellrunCommand(words, options);
    if (words.empty()) command.argv = {"bash", "--norc", "-i"};
    return command;
  };
  const std::string attack = Escape::Program("escape_reach") + " type-for-operator";
  const auto in_shell = [&](const std::string& line) {
    // The operator's shell, which runs the attack and then reads on from its terminal.
    escape.Reset();
    Options options;
    options.environment = {{"PS1", "ready> "}};
    Terminal terminal(play({}, options));
    EXPECT_TRUE(terminal.Expect("ready>"));
    terminal.Send(line + "; echo attack-is-over\n");
    EXPECT_TRUE(terminal.Expect("\nattack-is-over"));
    terminal.Send("exit\n");
    (void)terminal.Wait();
    return Escape::Exists(escape.Work("typed"));
  };
  escape.MustWin(in_shell(attack), "nothing was typed");
  std::string run = Escape::Prefix() + "/bin/cellrun";
  const Options options = escape.Using("");
  for (const auto& word : escape.RunArguments({"bash", "-c", attack + "; test $? = 11"}, options)) {
    run += " '" + word + "'";
  }
  escape.MustHold(in_shell(run), "a command was typed into the operator's terminal");
}

void Identities(Escape& escape) {
  escape.Try({.argv = Program_({"identities"}), .bare = Shown::kAsRoot});
}
void DaemonStays(Escape& escape) {
  const auto alive = [] { return !DescendantsRunning("escape-daemon").empty(); };
  const Outcome bare = escape.Bare(Program_({"daemon", escape.Work("up")}));
  escape.MustWin(bare.status == 10 && alive(), bare.out);
  for (const pid_t pid : DescendantsRunning("escape-daemon")) kill(pid, SIGKILL);
  const auto gone = [&] {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (alive() && std::chrono::steady_clock::now() < deadline) usleep(2000);
    return !alive();
  };
  ASSERT_TRUE(gone());
  escape.Reset();
  const Outcome cell = escape.Run(Program_({"daemon", escape.Work("up")}), escape.Using(""));
  EXPECT_EQ(cell.status, 10) << "it ran inside: " << cell;
  escape.MustHold(!gone(), "it outlives its cell");
}
void Families(Escape& escape) {
  escape.Try({.argv = Program_({"families"})});
}

// ---- E

void Descriptors_(Escape& escape) {
  Options options;
  options.in_child = [] {
    const int host = open("/", O_RDONLY | O_DIRECTORY);  // without CLOEXEC, as a careless caller
    const int self = static_cast<int>(syscall(SYS_pidfd_open, getpid(), 0));
    for (int fd = 20; fd < 40; ++fd) dup2(host, fd);
    dup2(self, 50);
  };
  escape.Try({.argv = Program_({"descriptors"}), .options = options});
}
void Climb(Escape& escape) {
  const std::string secret = escape.Write(escape.Path("beside/secret"), "secret");
  Options options;
  options.in_child = [] {
    const int host = open("/", O_RDONLY | O_DIRECTORY);
    for (int fd = 20; fd < 40; ++fd) dup2(host, fd);
  };
  Attack attack{.argv = Program_({"climb", secret}), .options = options};
  escape.Try(attack);
  // Started where the directory is not in the workspace.
  for (const std::string& directory : {std::string("/"), escape.Path("beside")}) {
    Options from = escape.Using("");
    from.in_child = options.in_child;
    from.directory = directory;
    from.flags.insert(from.flags.end(), {"--workspace", escape.Work()});
    const Outcome outcome = escape.Run(Program_({"climb", secret}), from);
    EXPECT_TRUE(outcome.status == 11 || outcome.status == 125) << outcome;
    escape.MustHold(outcome.status == 10, outcome.out);
  }
}
void InjectedDescriptor(Escape& escape) {
  const std::string shim = Escape::Prefix() + "/libexec/cellrun/cellrun-shim";
  const std::string before = Escape::Read(shim);
  struct stat mode {};
  ASSERT_EQ(stat(shim.c_str(), &mode), 0);
  const long tries = std::max(20L, Escape::Iterations() / 10);
  escape.ShownBare(Shown::kAimsAtCell);
  Options options = escape.Using(escape.Judged(Escape::Deny(Escape::Program("mark"))));
  options.time_limit = std::chrono::seconds(60 + tries / 5);
  const Outcome outcome = escape.Run(
      Program_({"injected-descriptor", Escape::Program("mark"), std::to_string(tries)}), options);
  EXPECT_EQ(outcome.status, 11) << outcome;
  escape.Count(escape.Marks("evil"), tries);
  escape.MustHold(outcome.status == 10 || escape.Marks("evil") > 0, outcome.out);
  struct stat now {};
  ASSERT_EQ(stat(shim.c_str(), &now), 0);
  escape.MustHold(Escape::Read(shim) != before || now.st_mode != mode.st_mode, "the shim changed");
}
void TableAfterDenials(Escape& escape) {
  escape.Try({.argv = Program_({"table-after-denials", Escape::Program("mark")}),
              .profile = escape.Judged(Escape::Deny(Escape::Program("mark")))});
}

void ShimRoles(Escape& escape) {
  escape.Try({.argv = Program_({"shim-roles", Escape::Program("mark")}),
              .profile = escape.Judged(Escape::Deny(Escape::Program("mark"))),
              .bare = Shown::kAimsAtCell,
              .damage = [&escape] { return escape.EvilRan(); }});
}

constexpr Case kCases[] = {
    {"D1", "user_namespaces", "get rights in a user namespace", UserNamespaces},
    {"D1", "namespaces", "make or join other namespaces", Namespaces},
    {"D2", "mounts", "mount, remount, unmount, change the root", Mounts},
    {"D5", "kernel_files", "write what /proc and /sys offer", KernelFiles},
    {"D5", "kernel_secrets", "read what /proc and /sys tell about the host", KernelSecrets},
    {"D8", "cgroups", "write to a cgroup", Cgroups},
    {"D9", "devices", "make, find or be given a device", Devices},
    {"D10", "sockets_in_tree", "connect to sockets of the host", SocketsInTree},
    {"D11", "offers", "reach abstract sockets, ports, IPC and files of the host", Offers},
    {"D12", "signals", "signal a process outside", Signals},
    {"D12", "signal_everybody", "signal all numbers and groups", SignalEverybody},
    {"D12", "received_process", "use a received descriptor of a process", ReceivedProcess},
    {"D14", "typing", "type into the operator's terminal", Typing},
    {"D17", "identities", "become somebody else", Identities},
    {"D18", "other_cell", "reach what another cell offers", OtherCell},
    {"D19", "daemon", "outlive the cell", DaemonStays},
    {"D20", "families", "make sockets of rare families", Families},
    {"E1", "descriptors", "use descriptors that the caller or the broker left", Descriptors_},
    {"E3", "climb", "go up and out from an open directory", Climb},
    {"E6", "injected_descriptor", "change the shim through the injected descriptor",
     InjectedDescriptor},
    {"X4", "shim_roles", "start the shim in a role of one's own choice", ShimRoles},
    {"E6", "table_after_denials", "find one's own descriptors changed after denials",
     TableAfterDenials},
};
ESCAPE_SUITE(ReachTest, kCases);

}  // namespace
}  // namespace cellrun::test
