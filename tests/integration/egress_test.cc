// SPDX-License-Identifier: Apache-2.0
// What leaves a cell: only what a rule lets out, and as if the program had connected by itself.
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class EgressTest : public Sandbox {
 protected:
  // Everything runs; these network rules ("{to: …}" each) over a deny.
  Options Letting(const std::vector<std::string>& rules) {
    std::string yaml =
        "cellrun: 1\nname: egress\ncommands: {default: allow}\nnetwork:\n"
        "  default: deny\n  rules:\n";
    for (const std::string& rule : rules) yaml += "    - " + rule + "\n";
    if (rules.empty()) yaml += "    []\n";
    return {.profile = WriteProfile(yaml)};
  }
  Options LettingHost(const std::string& ports) {
    return Letting({"{to: host, ports: [" + ports + "], then: allow, name: to-host}"});
  }
  Outcome Python(const std::string& script, const Options& options) {
    return Run({"python3", "-c", "import socket, errno, os, sys, struct, time\n" + script},
               options);
  }
  std::vector<json> Connections() {
    std::vector<json> found;
    for (json& record : History()) {
      if (record.value("kind", "") == "connect") found.push_back(std::move(record));
    }
    return found;
  }
};

std::string ConnectTo(const std::string& port, const std::string& host = "host") {
  return "s = socket.socket()\n"
         "code = s.connect_ex(('" +
         host + "', " + port + "))\n";
}

TEST_F(EgressTest, ReachesOnlyWhatARuleLetsOut) {
  const Server open(Server::Say("hello\n")), closed(Server::Say("secret\n"));
  const std::string bare =
      Bare({"bash", "-c", "cat < /dev/tcp/127.0.0.1/" + closed.port_text()}).out;
  ASSERT_EQ(bare, "secret\n") << "without cellrun anything reaches it";
  const Outcome outcome =
      Shell("cat < /dev/tcp/host/" + open.port_text() + "; cat < /dev/tcp/host/" +
                closed.port_text() + "; cat < /dev/tcp/127.0.0.1/" + closed.port_text(),
            LettingHost(open.port_text()));
  EXPECT_EQ(outcome.out, "hello\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("Permission denied"));
  EXPECT_THAT(outcome.err, HasSubstr("Connection refused")) << "127.0.0.1 is the cell's own";
  EXPECT_EQ(closed.accepted(), 1) << "the one without cellrun";
}

TEST_F(EgressTest, ACellThatLetsNothingOutHasNoGateway) {
  const Outcome none = Shell("grep -c : /proc/net/dev", Letting({}));
  EXPECT_EQ(none.out, "1\n") << "lo: " << none;
  const Outcome some = Shell("grep -c eth0: /proc/net/dev", LettingHost("1"));
  EXPECT_EQ(some.out, "1\n") << some;
}

TEST_F(EgressTest, ABlockingConnectGetsTheErrnoOfTheDial) {
  const ClosedPort closed;
  const Outcome outcome = Python(ConnectTo(closed.text()) + "print(errno.errorcode[code])\n",
                                 LettingHost(closed.text()));
  EXPECT_EQ(outcome.out, "ECONNREFUSED\n") << outcome;
}

TEST_F(EgressTest, ANonBlockingOneIsResetWhenTheDialFails) {
  const ClosedPort closed;
  const Outcome outcome = Python(
      "import select\n"
      "s = socket.socket(); s.setblocking(False)\n"
      "first = s.connect_ex(('host', " +
          closed.text() +
          "))\n"
          "select.select([], [s], [], 10)\n"
          "try: print(errno.errorcode[first], s.recv(1) if select.select([s], [], [], 10)[0] else "
          "'late')\n"
          "except OSError as e: print(errno.errorcode[first], errno.errorcode[e.errno])\n",
      LettingHost(closed.text()));
  EXPECT_EQ(outcome.out, "EINPROGRESS ECONNRESET\n") << outcome;
}

TEST_F(EgressTest, PortsBelow1024AreLikeOthers) {
  // Nobody listens on it outside: that, and not that the broker could not, is the answer.
  const Outcome outcome =
      Python(ConnectTo("7") + "print(errno.errorcode[code])\n", LettingHost("7"));
  EXPECT_EQ(outcome.out, "ECONNREFUSED\n") << outcome;
}

TEST_F(EgressTest, MovesBytesBothWaysUnchanged) {
  const Server echo(Server::Echo);
  const Outcome outcome = Python(
      ConnectTo(echo.port_text()) +
          "import hashlib, threading\n"
          "data = os.urandom(1 << 20) * 24\n"
          "threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR))).start()\n"
          "got = hashlib.sha256(); count = 0\n"
          "while True:\n"
          "  part = s.recv(1 << 20)\n"
          "  if not part: break\n"
          "  got.update(part); count += len(part)\n"
          "print(count == len(data), got.digest() == hashlib.sha256(data).digest())\n",
      LettingHost(echo.port_text()));
  EXPECT_EQ(outcome.out, "True True\n") << outcome;
}

// What a server reads until the end, with '|' where the urgent byte is next, and how it ended.
std::string ReadAll(int fd) {
  std::string all;
  std::array<char, 64> bytes{};
  ssize_t got = 0;
  while ((got = recv(fd, bytes.data(), bytes.size(), 0)) > 0) {
    int at_mark = 0;
    (void)ioctl(fd, SIOCATMARK, &at_mark);
    all.append(bytes.data(), static_cast<std::size_t>(got));
    if (at_mark != 0) all += '|';
  }
  return all + (got < 0 ? " reset" : " end");
}

TEST_F(EgressTest, PassesAnEndAndUrgentDataOn) {
  std::promise<std::string> read;
  const Server server([&](int fd) {
    constexpr int kOn = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &kOn, sizeof kOn);
    pollfd urgent{.fd = fd, .events = POLLPRI, .revents = 0};
    (void)poll(&urgent, 1, 10'000);  // it is announced before it is read
    read.set_value(ReadAll(fd));
    (void)send(fd, "bye", 3, MSG_NOSIGNAL);
  });
  const Outcome outcome =
      Python(ConnectTo(server.port_text()) +
                 "s.sendall(b'ab'); s.send(b'!', socket.MSG_OOB); s.sendall(b'cd')\n"
                 "s.shutdown(socket.SHUT_WR); print(s.recv(9), s.recv(9))\n",
             LettingHost(server.port_text()));
  EXPECT_EQ(outcome.out, "b'bye' b''\n") << outcome;
  EXPECT_EQ(read.get_future().get(), "ab|!cd end") << "urgent data and its place";
}

TEST_F(EgressTest, PassesAResetOn) {
  std::promise<std::string> read;
  const Server server([&](int fd) { read.set_value(ReadAll(fd)); });
  const Outcome outcome = Python(
      ConnectTo(server.port_text()) +
          "s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0)); s.close()\n",
      LettingHost(server.port_text()));
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ(read.get_future().get(), " reset");
}

TEST_F(EgressTest, TheCellsOwnServersStayItsOwn) {
  const Server outside(Server::Say("outside\n"));
  const Outcome outcome =
      Python("port = " + outside.port_text() +
                 "\n"
                 "l = socket.socket(socket.AF_INET6); l.setsockopt(socket.SOL_SOCKET, "
                 "socket.SO_REUSEADDR, 1)\n"
                 "l.bind(('::', port)); l.listen()\n"
                 "c = socket.create_connection(('127.0.0.1', port)); a, _ = l.accept(); "
                 "a.sendall(b'inside')\n"
                 "print(c.recv(99)); print(socket.create_connection(('host', port)).recv(99))\n"
                 "n = socket.socket(socket.AF_INET6)\n"
                 "print(n.connect_ex(('::1', port)), n.getpeername()[0])\n"
                 "try: socket.socket().bind(('198.18.0.1', 99))\n"
                 "except OSError as e: print(errno.errorcode[e.errno])\n",
             LettingHost(outside.port_text()));
  EXPECT_EQ(outcome.out, "b'inside'\nb'outside\\n'\n0 ::1\nEADDRNOTAVAIL\n") << outcome;
}

TEST_F(EgressTest, RecordsWhoWentWhereAndHowMuch) {
  const Server echo(Server::Echo);
  const Outcome outcome = Python(ConnectTo(echo.port_text()) +
                                     "s.sendall(b'12345'); s.shutdown(socket.SHUT_WR)\n"
                                     "while s.recv(9): pass\n" +
                                     ConnectTo("1"),
                                 LettingHost(echo.port_text()));
  ASSERT_EQ(outcome.status, 0) << outcome;
  const std::vector<json> records = Connections();
  ASSERT_EQ(records.size(), 3U);
  const json* ended = nullptr;
  for (const json& record : records) {
    EXPECT_EQ(record.value("name", ""), "host");
    EXPECT_EQ(record.value("to", ""), "198.18.0.1");
    EXPECT_EQ(record.value("proto", ""), "tcp");
    EXPECT_THAT(record.value("exe", ""), HasSubstr("python3"));
    EXPECT_GT(record.value("pid", 0), 0);
    if (record.value("result", "") == "closed") ended = &record;
  }
  ASSERT_NE(ended, nullptr) << json(records).dump(1);
  EXPECT_EQ(ended->value("bytes_out", 0), 5);
  EXPECT_EQ(ended->value("bytes_in", 0), 5);
  EXPECT_EQ((*ended)["rule"].value("name", ""), "to-host");
  EXPECT_TRUE((*ended)["detail"].contains("duration_ms"));
}

TEST_F(EgressTest, ANameThatNothingLetsOutIsADenialThatProgramsCanRead) {
  const Outcome outcome = Shell(
      "getent ahosts other.example || echo unknown; getent ahosts other.example; "
      "getent ahostsv4 let.example | head -1; cat $CELLRUN_DENIALS",
      Letting({"{to: let.example, then: allow}"}));
  EXPECT_THAT(outcome.out, HasSubstr("unknown\n198.1")) << outcome;
  const std::size_t at = outcome.out.find("other.example");
  ASSERT_NE(at, std::string::npos) << outcome;
  EXPECT_EQ(outcome.out.find("\"other.example\"", at + 16), std::string::npos) << "told once";
  const std::vector<json> records = Connections();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].value("name", ""), "other.example");
  EXPECT_EQ(records[0].value("verdict", ""), "deny");
}

TEST_F(EgressTest, HoldsNobodyUpWhileAnotherIsConnected) {
  const Server echo(Server::Echo);
  const Outcome outcome =
      Python("all = [socket.create_connection(('host', " + echo.port_text() +
                 ")) for _ in range(300)]\n"
                 "for i, s in enumerate(all): s.sendall(b'%d' % i)\n"
                 "print([s.recv(9) for s in all] == [b'%d' % i for i in range(300)])\n",
             LettingHost(echo.port_text()));
  EXPECT_EQ(outcome.out, "True\n") << outcome;
  EXPECT_EQ(echo.accepted(), 300);
}

// ---- Datagrams.

// Sends back what it gets, to whom it got it from.
class DatagramEcho {
 public:
  DatagramEcho() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~DatagramEcho() {
    stop_ = true;
    thread_.join();
  }
  DatagramEcho(const DatagramEcho&) = delete;
  DatagramEcho& operator=(const DatagramEcho&) = delete;
  [[nodiscard]] std::string port_text() const { return std::to_string(port_); }
  [[nodiscard]] int received() const { return received_; }

 private:
  void Run() {
    std::array<char, 2048> bytes{};
    while (!stop_) {
      pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 20) != 1) continue;
      sockaddr_storage from{};
      socklen_t size = sizeof from;
      auto* peer = reinterpret_cast<sockaddr*>(&from);
      const ssize_t got = recvfrom(fd_.get(), bytes.data(), bytes.size(), 0, peer, &size);
      if (got < 0) continue;
      ++received_;
      (void)sendto(fd_.get(), bytes.data(), static_cast<std::size_t>(got), 0, peer, size);
    }
  }
  const UniqueFd fd_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<int> received_{0};
  std::thread thread_;
};

TEST_F(EgressTest, DatagramsLeaveOnlyWhereARuleSaysUdp) {
  const DatagramEcho open, closed;
  const std::string script =
      "def ask(port, connected):\n"
      "  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(0.5)\n"
      "  try:\n"
      "    if connected: s.connect(('host', port)); s.send(b'abc'); return s.recv(9)\n"
      "    s.sendto(b'xyz', ('host', port)); data, peer = s.recvfrom(9); return data, peer[1] == "
      "port\n"
      "  except OSError as e: return type(e).__name__\n"
      "for port in (" +
      open.port_text() + ", " + closed.port_text() +
      "):\n"
      "  print(ask(port, True), ask(port, False))\n";
  const Outcome outcome = Python(
      script, Letting({"{to: host, ports: [" + open.port_text() + "], proto: udp, then: allow}",
                       "{to: host, ports: [" + closed.port_text() + "], then: allow}"}));
  EXPECT_EQ(outcome.out, "b'abc' (b'xyz', True)\nPermissionError TimeoutError\n") << outcome;
  EXPECT_EQ(open.received(), 2);
  EXPECT_EQ(closed.received(), 0) << "a rule about TCP is not one about UDP";
  int ended = 0;
  for (const json& record : Connections()) {
    if (record.value("proto", "") != "udp" || record.value("bytes_out", 0) != 3) continue;
    EXPECT_EQ(record.value("bytes_in", 0), 3);
    ++ended;
  }
  EXPECT_EQ(ended, 2);
}

// ---- A person is asked.

class EgressAskTest : public EgressTest {
 protected:
  Options Asking(const std::string& port) {
    Options options =
        Letting({"{to: host, ports: [" + port + "], then: ask, reason: phones home}"});
    options.profile = WriteProfile(Read(options.profile) + "approvals: {timeout: 30s}\n");
    return options;
  }
  json AwaitAsk() {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (std::chrono::steady_clock::now() < deadline) {
      const Outcome listed = Cellrun({"approvals", "list", "-o", "json"});
      const json asks = json::parse(listed.out, nullptr, false);
      if (asks.is_array() && !asks.empty()) return asks[0];
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ADD_FAILURE() << "nobody asked within 20 s";
    return {{"id", "none"}};
  }
};

constexpr char kReadOne[] = "print(code, s.recv(9))\n";

TEST_F(EgressAskTest, WhatIsApprovedIsConnected) {
  const Server server(Server::Say("hello"));
  Process cell =
      Start({"python3", "-c", "import socket\n" + ConnectTo(server.port_text()) + kReadOne},
            Asking(server.port_text()));
  const json ask = AwaitAsk();
  EXPECT_EQ(ask["argv"], json({"connect", "host:" + server.port_text()}));
  EXPECT_THAT(ask.value("exe", ""), HasSubstr("python3"));
  EXPECT_EQ(ask.value("reason", ""), "phones home");
  EXPECT_EQ(server.accepted(), 0) << "nothing may have left";
  ASSERT_EQ(Cellrun({"approve", ask["id"]}).status, 0);
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.out, "0 b'hello'\n") << outcome;
  EXPECT_EQ(server.accepted(), 1);
}

TEST_F(EgressAskTest, WhatIsDeniedIsReset) {
  const Server server(Server::Say("hello"));
  Process cell = Start({"python3", "-c",
                        "import socket, errno\n" + ConnectTo(server.port_text()) +
                            "try: print(s.recv(9))\n"
                            "except OSError as e: print(errno.errorcode[e.errno])\n"},
                       Asking(server.port_text()));
  ASSERT_EQ(Cellrun({"deny", AwaitAsk()["id"], "--reason", "no"}).status, 0);
  EXPECT_EQ(cell.Wait().out, "ECONNRESET\n");
  EXPECT_EQ(server.accepted(), 0);
  const std::vector<json> records = Connections();
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].value("verdict", ""), "deny");
}

TEST_F(EgressAskTest, WhoGivesUpIsNoLongerAskedAbout) {
  const Server server(Server::Say("hello"));
  Process cell = Start({"python3", "-c",
                        "import socket, sys\n" + ConnectTo(server.port_text()) +
                            "sys.stdin.readline(); s.close(); print('closed', flush=True); "
                            "sys.stdin.readline()\n"},
                       [&] {
                         Options options = Asking(server.port_text());
                         options.hold_input = true;
                         return options;
                       }());
  (void)AwaitAsk();
  cell.Write("\n");
  ASSERT_TRUE(cell.WaitForOutput("closed\n"));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  std::string listed;
  do {
    listed = Cellrun({"approvals", "list", "-o", "json"}).out;
  } while (listed != "[]\n" && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(listed, "[]\n");
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
  EXPECT_EQ(server.accepted(), 0);
}

// ---- Changes while a cell runs.

class EgressChangeTest : public EgressTest {
 protected:
  // Python that connects to a port for each line that it reads, and holds connections as `held`.
  Process StartLines(const std::string& script, const Options& options) {
    Options with = options;
    with.hold_input = true;
    with.flags = {"--name", "changing"};
    return Start({"python3", "-u", "-c",
                  "import socket, sys, errno\n"
                  "def code(port):\n"
                  "  s = socket.socket(); c = s.connect_ex(('host', port)); s.close()\n"
                  "  return errno.errorcode.get(c, 'connected')\n" +
                      script},
                 with);
  }
};

TEST_F(EgressChangeTest, AddAndRemoveCountAtOnce) {
  const Server server(nullptr), other(nullptr);
  Process cell =
      StartLines("for line in sys.stdin: print(line.strip(), code(" + server.port_text() + "))\n",
                 LettingHost(other.port_text()));
  const auto says = [&](const std::string& line, const std::string& what) {
    cell.Write(line + "\n");
    EXPECT_TRUE(cell.WaitForOutput(line + " " + what + "\n")) << cell.out();
  };
  says("1", "EACCES");
  const Outcome added = Cellrun({"egress", "add", "changing", "host:" + server.port_text()});
  ASSERT_EQ(added.status, 0) << added;
  says("2", "connected");
  const Outcome listed = Cellrun({"egress", "list", "changing"});
  EXPECT_THAT(listed.out, HasSubstr("host:" + server.port_text())) << listed;
  ASSERT_EQ(Cellrun({"egress", "remove", "changing", "e1"}).status, 0);
  says("3", "EACCES");
  ASSERT_EQ(
      Cellrun({"egress", "add", "changing", "host:" + server.port_text(), "--for", "1s"}).status,
      0);
  says("4", "connected");
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  says("5", "EACCES");
  EXPECT_EQ(Cellrun({"egress", "add", "changing", "not a host"}).status, 2);
  EXPECT_EQ(Cellrun({"egress", "add", "nobody", "host"}).status, 1);
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
}

TEST_F(EgressChangeTest, WhatIsNoLongerAllowedIsCutWithinASecond) {
  const Server server(Server::Echo), other(Server::Echo);
  Process cell =
      StartLines("s = socket.create_connection(('host', " + server.port_text() +
                     "))\n"
                     "t = socket.create_connection(('host', " +
                     other.port_text() +
                     "))\n"
                     "s.sendall(b'x'); t.sendall(b'x'); s.recv(1); t.recv(1); print('up')\n"
                     "try: print('end', s.recv(1))\n"
                     "except OSError as e: print('cut', errno.errorcode[e.errno])\n"
                     "t.sendall(b'y'); print('other', t.recv(1))\n",
                 LettingHost(server.port_text() + ", " + other.port_text()));
  ASSERT_TRUE(cell.WaitForOutput("up\n")) << cell.err();
  const auto before = std::chrono::steady_clock::now();
  ASSERT_EQ(Cellrun({"egress", "remove", "changing", "host:" + server.port_text()}).status, 0);
  ASSERT_TRUE(cell.WaitForOutput("cut ECONNRESET\n")) << cell.out();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(2));
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out, HasSubstr("other b'y'\n")) << outcome;
}

TEST_F(EgressChangeTest, ReloadTakesTheProfileAsItIsNow) {
  const Server server(nullptr), other(nullptr);
  const Options options = LettingHost(other.port_text());
  Process cell = StartLines(
      "for line in sys.stdin: print(line.strip(), code(" + server.port_text() + "))\n", options);
  cell.Write("1\n");
  ASSERT_TRUE(cell.WaitForOutput("1 EACCES\n"));
  std::string yaml = Read(options.profile);
  const std::size_t at = yaml.find(other.port_text());
  yaml.replace(at, other.port_text().size(), server.port_text());
  Write(options.profile, yaml + "nonsense: 1\n");
  EXPECT_EQ(Cellrun({"egress", "reload", "changing"}).status, 1);
  cell.Write("2\n");
  EXPECT_TRUE(cell.WaitForOutput("2 EACCES\n")) << "a profile that cannot be used changes nothing";
  Write(options.profile, yaml);
  const Outcome reloaded = Cellrun({"egress", "reload", "changing"});
  EXPECT_EQ(reloaded.status, 0) << reloaded;
  cell.Write("3\n");
  EXPECT_TRUE(cell.WaitForOutput("3 connected\n")) << cell.out();
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
}

TEST_F(EgressChangeTest, ACellWithoutAGatewayCannotBeOpened) {
  Process cell = StartLines("print('up')\nsys.stdin.readline()\n", Letting({}));
  ASSERT_TRUE(cell.WaitForOutput("up\n")) << cell.err();
  const Outcome added = Cellrun({"egress", "add", "changing", "host:1"});
  EXPECT_EQ(added.status, 1);
  EXPECT_THAT(added.err, HasSubstr("no gateway"));
  const Outcome bypassed = Cellrun({"egress", "bypass", "changing", "5m"});
  EXPECT_EQ(bypassed.status, 1);
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
}

TEST_F(EgressChangeTest, ABypassOpensThePublicWorldAndNotThisMachine) {
  const Server server(nullptr), other(nullptr);
  Process cell = StartLines(
      "def name(n):\n"
      "  try: return socket.getaddrinfo(n, 80)[0][4][0][:4]\n"
      "  except socket.gaierror: return 'unknown'\n"
      "for line in sys.stdin: print(line.strip(), name('a.example'), code(" +
          server.port_text() + "))\n",
      LettingHost(other.port_text()));
  cell.Write("1\n");
  ASSERT_TRUE(cell.WaitForOutput("1 unknown EACCES\n")) << cell.out();
  ASSERT_EQ(Cellrun({"egress", "bypass", "changing", "5m"}).status, 0);
  cell.Write("2\n");
  EXPECT_TRUE(cell.WaitForOutput("2 fd63 EACCES\n")) << cell.out();
  EXPECT_THAT(Cellrun({"egress", "list", "changing"}).out, HasSubstr("left"));
  ASSERT_EQ(Cellrun({"egress", "remove", "changing", "e1"}).status, 0);
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
}

}  // namespace
}  // namespace cellrun::test
