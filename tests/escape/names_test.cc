// SPDX-License-Identifier: Apache-2.0
// F9 and G: out over the network by way of a name: by how it is written, by what a DNS server says
// about it, by who else could be asked, and by asking without end. Every packet is seen.
#include <poll.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "broker/net/message/wire_fixture.h"
#include "tests/escape/scene.h"

namespace cellrun::test {
namespace {

// Without cellrun the scene's server is asked directly: `addresses(name)`, `visit(address)`.
constexpr char kClient[] =
    "mine = 'CELLRUN' in os.environ\n"
    "def ask(name, kind, where=None, wire=None):\n"
    "  labels = wire if wire is not None else b''.join(\n"
    "      bytes([len(l)]) + l for l in name.encode().split(b'.')) + b'\\0'\n"
    "  q = struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + labels + struct.pack('>2H', kind, 1)\n"
    "  s = socket.create_connection((where or ('198.18.0.3' if mine else '203.0.113.53'), 53), 5)\n"
    "  s.sendall(struct.pack('>H', len(q)) + q)\n"
    "  f = s.makefile('rb'); size = f.read(2)\n"
    "  if len(size) < 2: return []\n"
    "  m = f.read(struct.unpack('>H', size)[0]); at = len(q); found = []\n"
    "  for _ in range(struct.unpack('>H', m[6:8])[0]):\n"
    "    kind_, _, _, size = struct.unpack('>2HIH', m[at + 2:at + 12])\n"
    "    data = m[at + 12:at + 12 + size]; at += 12 + size\n"
    "    if kind_ == 1: found.append(socket.inet_ntop(socket.AF_INET, data))\n"
    "    if kind_ == 28: found.append(socket.inet_ntop(socket.AF_INET6, data))\n"
    "    if kind_ == 5:\n"
    "      to = []\n"
    "      while data[0]: to.append(data[1:1 + data[0]].decode()); data = data[1 + data[0]:]\n"
    "      found += ask('.'.join(to), kind)\n"
    "  return found\n"
    "def addresses(name): return ask(name, 1)[:8] + ask(name, 28)[:8]\n"
    "def visit(address, port=443):\n"
    "  s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET)\n"
    "  if not mine: s.settimeout(0.5)\n"
    "  to = (address, port, 0, 100) if address.startswith('fe80') else (address, port)\n"
    "  try: s.connect(to); s.settimeout(2); s.recv(1); s.close(); return True\n"
    "  except OSError as e: return False\n";

// ---- G4: answers that lead elsewhere.

const std::map<std::string, std::vector<std::string>>& Poison() {
  static const std::map<std::string, std::vector<std::string>> poison = {
      {"private", {"10.0.0.5", "172.16.0.5", "192.168.0.5", "100.64.0.5"}},
      {"zero", {"0.0.0.0", "0.1.2.3"}},
      {"loop", {"127.0.0.1", "127.0.0.53"}},
      {"metadata", {"169.254.169.254", "168.63.129.16"}},
      {"wide", {"224.0.0.251", "255.255.255.255", "240.0.0.1"}},
      {"ours", {"198.18.0.1", "198.18.0.3", "198.18.1.0"}},
      {"loop6", {"::1", "::"}},
      {"private6", {"fd00::5", "fe80::5", "fec0::5"}},
      {"mapped", {"::ffff:10.0.0.5", "::ffff:127.0.0.1"}},
      {"nat64", {"64:ff9b::a00:5", "64:ff9b::7f00:1"}},
      {"sixtofour", {"2002:a00:5::1"}},
      {"wide6", {"ff02::1"}},
      {"mixed", {"10.0.0.5", Scene::kGood, "fd00::5", Scene::kGood6}}};
  return poison;
}

std::string LieAbout(const NameServer::Question& question) {
  static std::atomic<int> flips{0};
  const std::string label = question.name.substr(0, question.name.find('.'));
  if (question.name == "internal.corp") return NameServer::Answer(question, {"10.0.0.7"});
  if (label == "alias") return NameServer::Alias(question, "internal.corp");
  if (label == "flip") {  // each answer another, for no time
    const bool turn = question.type == 1 && ++flips % 2 == 0;
    return NameServer::Answer(question, {turn ? "10.0.0.6" : Scene::kGood}, 0);
  }
  if (label == "many") {  // as many as fit
    const std::vector<std::string> most(4000, "10.0.0.8");
    const std::string whole = NameServer::Answer(question, most);
    if (question.stream || question.type != 1) return whole;
    return net::wire_fixture::Header(question.id, net::wire_fixture::kResponse | 0x200, {}) +
           question.wire;  // truncated
  }
  const auto found = Poison().find(label);
  return found == Poison().end() ? NameServer::NoSuchName(question)
                                 : NameServer::Answer(question, found->second);
}

std::string LettingNames(Scene& scene, const std::string& more = "") {
  return scene.Profile("  default: allow\n  rules:\n    - {to: '*.example.com', then: allow}\n" +
                       more);
}

void Poisoned(Escape& escape) {
  Scene scene(escape, nullptr, LieAbout);
  std::string names = "names = 'flip flip flip flip alias many";
  for (const auto& [name, addresses] : Poison()) names += " " + name;
  scene.Try({.argv = PythonAttack(kClient + names +
                                  "'.split()\n"
                                  "for name in names:\n"
                                  "  for address in addresses(name + '.example.com'):\n"
                                  "    print(name, address, visit(address))\n"),
             .profile = LettingNames(scene)});
  scene.ExpectSent("tcp 203.0.113.10:443");
  scene.ExpectSent("tcp [2001:db8:1::10]:443");
  EXPECT_TRUE(scene.names().asked().contains("internal.corp")) << "the alias was followed";
}

// ---- F9: the same bytes are judged, asked for and dialled.

// Whoever is not exactly a judged name is somebody else.
std::string OnlyTheJudged(const NameServer::Question& question) {
  const bool judged =
      question.name == "ok.example.com" || question.name.ends_with(".sub.example.com");
  return NameServer::Answer(question, judged
                                          ? std::vector<std::string>{Scene::kGood, Scene::kGood6}
                                          : std::vector<std::string>{Scene::kEvil, Scene::kEvil6});
}

std::string OddQuestions(NameServer& names) {
  constexpr char kPlain[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
  for (const std::string& name : names.asked()) {
    const bool judged = name == "ok.example.com" || name.ends_with(".sub.example.com");
    if (!judged || name.find_first_not_of(kPlain) != std::string::npos || name.size() > 253)
      return "asked for " + testing::PrintToString(name);
  }
  return "";
}

void Spellings(Escape& escape) {
  Scene scene(escape, nullptr, OnlyTheJudged);
  constexpr char kScript[] =
      "tails = [[b'ok', b'example', b'com'], [b'sub', b'example', b'com']]\n"
      "heads = [b'evil\\0', b'evil.com', b'evil.com\\0', b'evil.com%00', b'evil.com#', "
      "b'evil.com/',\n"
      "  b'evil.com?', b'a@evil.com', b'evil.com:80', b'evil.com\\\\', b'evil\\t', b'evil\\r\\n', "
      "b' ',\n"
      "  b'evil ', b'*', b'', b'evil\\xe3\\x80\\x82com', b'\\xef\\xbd\\x85vil', b'\\xff', "
      "b'_evil',\n"
      "  b'xn--evl-ioa', b'xn--', b'-evil-', b'e' * 63, b'EVIL']\n"
      "names = []\n"
      "for tail in tails:\n"
      "  names += [[head] + tail for head in heads if head] + [tail, tail + [b'evil', b'com'],\n"
      "    [b'evil' + tail[0]] + tail[1:], tail[:-1] + [b'com\\0'], tail[:-1] + [b'com\\0', "
      "b'evil'],\n"
      "    [b'.'.join(tail)], [b'evil.com\\0' + b'.'.join(tail)], [b'e' * 63] * 3 + tail,\n"
      "    [b'a'] * 120 + tail, [l.upper() for l in tail]]\n"
      "def wire(name): return b''.join(bytes([len(l)]) + l for l in name) + b'\\0'\n"
      "for name in names:\n"
      "  for kind in (1, 28):\n"
      "    try: found = ask('', kind, wire=wire(name))\n"
      "    except (OSError, struct.error): found = []\n"
      "    for address in found: print(name, address, visit(address))\n"
      "if not mine: sys.exit(11)\n"
      "for name in ['ok.example.com', 'ok.example.com.', 'OK.Example.COM', "
      "'ok\\u3002example.com',\n"
      "    '\\uff4fk.example.com', 'evil.com\\\\.sub.example.com', 'x_y.sub.example.com',\n"
      "    'evil.com%00.sub.example.com', 'a' * 64 + '.sub.example.com', 'ok.example.com..',\n"
      "    '.'.join(['a' * 60] * 5) + '.sub.example.com', 'ok.example.com:443', "
      "'\\u00fc.sub.example.com']:\n"
      "  try: print(name, [visit(a[4][0]) for a in socket.getaddrinfo(name, 443, type=1)])\n"
      "  except (OSError, UnicodeError) as e: print(name, type(e).__name__)\n";
  scene.Try({.argv = PythonAttack(std::string(kClient) + kScript),
             .profile = scene.Profile("  rules:\n    - {to: [ok.example.com, '*.sub.example.com'], "
                                      "then: allow}\n"),
             .prepare = [&scene] { scene.names().Forget(); },
             .damage = [&scene] { return OddQuestions(scene.names()); }});
  scene.ExpectSent("tcp [2001:db8:1::10]:443");
}

// ---- G5: others who could be asked, and files that say otherwise.

// Mounts of the test's own, in which the host has services that resolve names, and a hosts file
// that lies. The broker sees them, too.
class SideDoors {
 public:
  SideDoors() {
    EXPECT_EQ(unshare(CLONE_NEWNS), 0);
    EXPECT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    EXPECT_EQ(mount("tmpfs", "/run", "tmpfs", 0, "mode=755"), 0);
    for (const char* path : kPaths) Listen(path);
    std::ofstream("/run/hosts") << "127.0.0.1 localhost\n" << Scene::kEvil << " web.example.com\n";
    EXPECT_EQ(chmod("/run/hosts", 0644), 0);
    EXPECT_EQ(mount("/run/hosts", "/etc/hosts", nullptr, MS_BIND, nullptr), 0);
    thread_ = std::thread([this] { HangUp(); });
  }
  ~SideDoors() {
    stop_ = true;
    thread_.join();
  }
  SideDoors(const SideDoors&) = delete;
  SideDoors& operator=(const SideDoors&) = delete;
  static Words Paths() { return {std::begin(kPaths), std::end(kPaths)}; }

 private:
  static constexpr const char* kPaths[] = {"/run/nscd/socket",
                                           "/run/systemd/resolve/io.systemd.Resolve",
                                           "/run/systemd/resolve/io.systemd.Resolve.Monitor",
                                           "/run/systemd/userdb/io.systemd.DynamicUser",
                                           "/run/dbus/system_bus_socket",
                                           "/run/avahi-daemon/socket",
                                           "/run/dnsmasq/socket",
                                           "/run/unbound.ctl"};
  void Listen(const std::string& path) {
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    UniqueFd made(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un own{};
    own.sun_family = AF_UNIX;
    path.copy(&own.sun_path[0], sizeof own.sun_path - 1);
    EXPECT_EQ(bind(made.get(), reinterpret_cast<sockaddr*>(&own), sizeof own), 0) << path;
    EXPECT_EQ(listen(made.get(), 64), 0);
    EXPECT_EQ(chmod(path.c_str(), 0777), 0);
    sockets_.push_back(std::move(made));
  }
  // So that programs of the host, which ask as well, go on at once.
  void HangUp() {
    std::vector<pollfd> waiting;
    for (const UniqueFd& one : sockets_)
      waiting.push_back({.fd = one.get(), .events = POLLIN, .revents = 0});
    while (!stop_) {
      if (poll(waiting.data(), waiting.size(), 50) <= 0) continue;
      for (const pollfd& one : waiting) {
        if (one.revents != 0) UniqueFd(accept4(one.fd, nullptr, nullptr, SOCK_CLOEXEC)).Reset();
      }
    }
  }
  std::vector<UniqueFd> sockets_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

void SideDoor(Escape& escape) {
  Scene scene(escape);
  const SideDoors doors;
  escape.Try(
      {.argv = PythonAttack("reached = 0\n"
                            "for path in sys.argv[1:]:\n"
                            "  for way in (path, '/var' + path):\n"
                            "    try: socket.socket(socket.AF_UNIX).connect(way); reached += 1\n"
                            "    except OSError as e: print(way, e)\n"
                            "sys.exit(10 if reached else 11)\n",
                            SideDoors::Paths()),
       .profile = LettingNames(scene)});
}
// The name is in the host's file, and the cell writes what it can into its own.
void HostsFile(Escape& escape) {
  Scene scene(escape);
  const SideDoors doors;
  constexpr char kScript[] =
      "os.environ.update(HOSTALIASES='aliases', LOCALDOMAIN='evil.com', RES_OPTIONS='ndots:9')\n"
      "open('aliases', 'w').write('web evil.example.org\\n')\n"
      "if mine:\n"
      "  for path, line in (('/etc/hosts', '203.0.113.66 web.example.com\\n'),\n"
      "      ('/etc/resolv.conf', 'nameserver 203.0.113.66\\n'),\n"
      "      ('/etc/nsswitch.conf', 'hosts: files\\n')):\n"
      "    try: open(path, 'a').write(line); print('wrote', path)\n"
      "    except OSError as e: print(path, e)\n"
      "try:\n"
      "  for a in socket.getaddrinfo('web.example.com', 443, 2, 1): print(a[4], visit(a[4][0]))\n"
      "except OSError as e: print(e)\n";
  scene.Try({.argv = PythonAttack(std::string(kClient) + kScript), .profile = LettingNames(scene)});
  scene.ExpectSent("tcp [2001:db8:1::10]:443");
}

// ---- G6: two names of one address, of which one is let out, on one port.

void TwoNames(Escape& escape) {
  Scene scene(escape);
  constexpr char kScript[] =
      "def resolve(name):\n"
      "  try: return [a[4][0] for a in socket.getaddrinfo(name, 443, type=1)]\n"
      "  except OSError: return []\n"
      "own = resolve('one.example.com') if mine else ['203.0.113.10']\n"
      "print('own', [visit(a) for a in own[:1]])\n"
      "others = ['203.0.113.10', '2001:db8:1::10', '::ffff:203.0.113.10'] + "
      "resolve('two.example.com')\n"
      "if mine: others += ['198.18.1.1', '198.18.1.2', 'fd63:656c:6c00::c612:101']\n"
      "for address in others: print(address, visit(address))\n"
      "for address in own + others: print(address, visit(address, 8443))\n";
  int seen = 0;
  scene.Try(
      {.argv = PythonAttack(std::string(kClient) + kScript),
       .profile = scene.Profile("  rules: [{to: one.example.com, ports: [443], then: allow}]\n"),
       .prepare = [&] { seen = scene.web().accepted(); },
       .damage =
           [&] {
             const int more = scene.web().accepted() - seen - 1;
             return more <= 0 ? "" : std::to_string(more) + " connections";
           }});
  EXPECT_EQ(scene.web().accepted(), seen + 1) << "what is let out must work";
  EXPECT_EQ(scene.names().asked(), std::set<std::string>{"one.example.com"});
}

// ---- G7: questions without end, beside a cell that asks now and then.

long ResidentKib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stol(line.substr(6));
  }
  return 0;
}

// Asks 200 times for each line that it reads, and says the longest of 99 % in microseconds.
constexpr char kCalm[] =
    "import socket, struct, sys, time\n"
    "q = struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + b'\\2ok\\7example\\3com\\0\\0\\1\\0\\1'\n"
    "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5)\n"
    "s.connect(('198.18.0.3', 53))\n"
    "print('ready', flush=True)\n"
    "for line in sys.stdin:\n"
    "  took = []\n"
    "  for _ in range(200):\n"
    "    start = time.monotonic(); s.send(q); s.recv(512)\n"
    "    took.append(time.monotonic() - start)\n"
    "  print('p99', int(sorted(took)[197] * 1e6), 'end', line.strip(), flush=True)\n";

void Flood(Escape& escape) {
  escape.ShownBare(Shown::kAimsAtCell);
  Scene scene(escape);
  Options options = escape.Using(LettingNames(scene));
  options.hold_input = true;
  Process calm = escape.Start({"python3", "-c", kCalm}, options);
  ASSERT_TRUE(calm.WaitForOutput("ready\n")) << calm.err();
  int rounds = 0;
  const auto round = [&] {
    const std::string number = std::to_string(++rounds);
    calm.Write(number + "\n");
    EXPECT_TRUE(calm.WaitForOutput("end " + number + "\n")) << calm.err();
    return std::stol(calm.out().substr(calm.out().rfind("p99 ") + 4));
  };
  const long quiet = round();
  const auto flood = [&](const char* seconds) {
    return escape.Start({Escape::Program("escape_traffic"), "flood", "198.18.0.3", seconds},
                        escape.Using(LettingNames(scene)));
  };
  EXPECT_EQ(flood("0.3").Wait().status, 0);  // what is made once is made
  const long before = ResidentKib(escape.BrokerPid());
  Process flooding = flood("4");
  ASSERT_TRUE(flooding.WaitForOutput("flooding\n")) << flooding.err();
  std::vector<long> beside;
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(3500);
  while (std::chrono::steady_clock::now() < until) beside.push_back(round());
  const Outcome flooded = flooding.Wait();
  EXPECT_EQ(flooded.status, 0) << flooded;
  const long grown = ResidentKib(escape.BrokerPid()) - before;
  std::sort(beside.begin(), beside.end());
  const std::string rate = flooded.out.substr(flooded.out.find('\n') + 1);
  escape.Note(rate.substr(0, rate.find('\n')) + ", beside it p99 " +
              std::to_string(beside[beside.size() / 2]) + " us (" + std::to_string(quiet) +
              " without), " + std::to_string(grown) + " KiB more");
  // The best of several: other work of the machine delays it as well.
  escape.MustHold(beside.front() >= 10'000, "the other cell's p99 is never below 10 ms");
  escape.MustHold(grown > 8 * 1024, "the broker has grown by " + std::to_string(grown) + " KiB");
  calm.CloseInput();
  EXPECT_EQ(calm.Wait().status, 0);
  EXPECT_EQ(scene.Strays(), "");
  EXPECT_TRUE(scene.names().asked().empty()) << "a question in a cell asks nobody";
}

const Case kCases[] = {
    {"F9", "spellings", "names that readers could read differently", Spellings},
    {"G4", "poisoned", "answers that lead inwards, elsewhere, or change", Poisoned},
    {"G5", "side_doors", "ask services of the host that resolve names", SideDoor},
    {"G5", "hosts_file", "names in the host's files and the cell's own", HostsFile},
    {"G7", "flood", "ask without end, in whole and in pieces, sense and junk", Flood},
    {"G6", "two_names", "one name's address by another name, number or port", TwoNames},
};
ESCAPE_SUITE(NameAttackTest, kCases);

}  // namespace
}  // namespace cellrun::test
