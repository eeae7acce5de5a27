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
#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::AllOf;
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

TEST_F(EgressTest, TheCommandLineLetsOutMoreAndAReloadKeepsIt) {
  const Server open(Server::Say("hello\n")), closed(Server::Say("secret\n"));
  Options options = Letting({});
  const std::string script =
      ConnectTo(std::to_string(open.port())) + "print('open', code == 0 and s.recv(9))\n" +
      ConnectTo(std::to_string(closed.port())) + "print('closed', code != 0)\n";
  EXPECT_THAT(Python(script, options).err, HasSubstr("gaierror")) << "there is no such name";
  options.flags = {"--net", "host:" + std::to_string(open.port())};
  options.hold_input = true;
  Process cell =
      Start({"python3", "-c",
             "import socket\ninput()\n" + script + "print('done', flush=True)\ninput()\n"},
            options);
  const auto ps = [&] { return json::parse(Cellrun({"ps", "-o", "json"}).out); };
  ASSERT_TRUE(Until([&] { return ps().size() == 1; }));
  const std::string name = ps()[0]["name"];
  EXPECT_EQ(Cellrun({"egress", "reload", name}).status, 0);
  EXPECT_THAT(Cellrun({"egress", "list", name}).out, HasSubstr("--net"));
  cell.Write("\n");
  EXPECT_TRUE(cell.WaitForOutput("done"));
  cell.Write("\n");
  EXPECT_THAT(cell.Wait().out, AllOf(HasSubstr("open b'hello"), HasSubstr("closed True")));
  const std::vector<json> connections = Connections();
  const auto let = std::find_if(connections.begin(), connections.end(), [](const json& record) {
    return record.value("verdict", "") == "allow";
  });
  ASSERT_NE(let, connections.end());
  EXPECT_THAT((*let)["rule"].dump(), HasSubstr("--net host:"));
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

// The broker has looked at the socket for each call, and holds it for none of them.
TEST_F(EgressTest, AConnectThatIsRepeatedEndsWithItsSocket) {
  std::promise<std::string> read;
  const Server server([&](int fd) { read.set_value(ReadAll(fd)); });
  Options options = LettingHost(server.port_text());
  options.hold_input = true;
  Process cell = Start({"python3", "-c",
                        "import socket, errno, select, sys\n"
                        "s = socket.socket(); s.setblocking(False)\n"
                        "to = ('host', " +
                            server.port_text() +
                            ")\n"
                            "codes = {errno.errorcode.get(s.connect_ex(to), 'done') for _ in "
                            "range(50)}\n"
                            "select.select([], [s], [], 10)\n"
                            "codes |= {errno.errorcode.get(s.connect_ex(to), 'done') for _ in "
                            "range(50)}\n"
                            "print(codes <= {'EINPROGRESS', 'EALREADY', 'EISCONN', 'done'})\n"
                            "s.close(); print('closed', flush=True); sys.stdin.readline()\n"},
                       options);
  ASSERT_TRUE(cell.WaitForOutput("True\nclosed\n")) << cell.out() << cell.err();
  auto ended = read.get_future();
  EXPECT_EQ(ended.wait_for(std::chrono::seconds(4)), std::future_status::ready);
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
  EXPECT_EQ(ended.get(), " end");
  EXPECT_EQ(server.accepted(), 1);
}

// Go asks for multipath TCP first (since 1.24 whoever listens), and takes TCP where the kernel says
// that it has none.
TEST_F(EgressTest, WhoWantsMultipathTcpGetsTcp) {
  const Server server(Server::Say("hello"));
  const Outcome outcome = Python(
      "def stream():\n"
      "  try: return socket.socket(socket.AF_INET6, socket.SOCK_STREAM, 262), 'mptcp'\n"
      "  except OSError as e: return socket.socket(socket.AF_INET6), errno.errorcode[e.errno]\n"
      "l, how = stream(); l.bind(('::', 0)); l.listen()\n"
      "c = socket.create_connection(('127.0.0.1', l.getsockname()[1])); a, _ = l.accept()\n"
      "a.sendall(b'inside'); print(how, c.recv(9))\n"
      "d, how = stream(); d.connect(('host', " +
          server.port_text() + ")); print(how, d.recv(9))\n",
      LettingHost(server.port_text()));
  EXPECT_EQ(outcome.out, "EPROTONOSUPPORT b'inside'\nEPROTONOSUPPORT b'hello'\n") << outcome;
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

// Later ones to a port are dialled on another thread than the first.
TEST_F(EgressTest, EveryConnectToAPortIsLikeTheFirst) {
  auto server = std::make_unique<Server>(Server::Say("hello"));
  Options options = LettingHost(server->port_text());
  options.hold_input = true;
  options.flags = {"--name", "again"};
  Process cell = Start({"python3", "-c",
                        "import socket, errno, os, sys\nfor i in range(20):\n  " +
                            ("s = socket.socket(); s.connect(('host', " + server->port_text() +
                             "))\n  print(i, s.recv(9), flush=True)\nsys.stdin.readline()\n") +
                            ConnectTo(server->port_text()) +
                            "print(errno.errorcode[code], flush=True); sys.stdin.readline()\n" +
                            ConnectTo(server->port_text()) + "print(errno.errorcode[code])\n"},
                       options);
  ASSERT_TRUE(cell.WaitForOutput("19 b'hello'\n")) << cell.err();
  EXPECT_EQ(server->accepted(), 20);
  const std::string port = server->port_text();
  server.reset();
  cell.Write("\n");
  ASSERT_TRUE(cell.WaitForOutput("ECONNREFUSED\n")) << cell.out() << cell.err();
  ASSERT_EQ(Cellrun({"egress", "remove", "again", "host:" + port}).status, 0);
  cell.Write("\n");
  EXPECT_THAT(cell.Wait().out, HasSubstr("EACCES"));
  int connected = 0, ended = 0;
  for (const json& record : Connections()) {
    connected += record.value("result", "") == "connected" ? 1 : 0;
    ended += record.contains("bytes_in") && record["bytes_in"] == 5 ? 1 : 0;
    EXPECT_EQ(record.value("name", ""), "host");
  }
  EXPECT_EQ(connected, 20);
  EXPECT_EQ(ended, 20);
}

// The host's choice may be one that paces; in the cell, in the gateway and on the host's loopback
// there is nothing to pace for.
TEST_F(EgressTest, WhatStaysOnThisMachineIsNotPaced) {
  const Server server(Server::Say("hello\n"));
  const Outcome outcome =
      Python(ConnectTo(server.port_text()) +
                 "print(code, s.getsockopt(6, socket.TCP_CONGESTION, 16).rstrip(b'\\0'))\n",
             LettingHost(server.port_text()));
  EXPECT_EQ(outcome.out, "0 b'reno'\n") << outcome;
}

// What is known of a process from its connect before does not stand for its socket, nor for another
// thread or process.
TEST_F(EgressTest, EachConnectOfAProcessIsThatOfItsOwnSocket) {
  const Server server(Server::Say("hello\n"));
  const ClosedPort closed;
  const std::string script =
      "import select, threading\n"
      "def blocking(port):\n"
      "  with socket.socket() as s: print(errno.errorcode.get(s.connect_ex(('host', port)), 0))\n"
      "def waiting(port):\n"
      "  with socket.socket() as s:\n"
      "    s.setblocking(False); s.connect_ex(('host', port)); select.select([], [s], [], 5)\n"
      "    print(errno.errorcode.get(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), 0))\n"
      "def datagram(port):\n"
      "  with socket.socket(type=socket.SOCK_DGRAM) as s:\n"
      "    print(errno.errorcode.get(s.connect_ex(('host', port)), 0))\n"
      "def all():\n"
      "  for how, port in ((blocking, OPEN), (datagram, OPEN), (blocking, CLOSED),\n"
      "                    (waiting, OPEN), (blocking, CLOSED), (blocking, OPEN)): how(port)\n"
      "all()\n"
      "thread = threading.Thread(target=all); thread.start(); thread.join()\n"
      "sys.stdout.flush()\n"
      "child = os.fork()\n"
      "if child == 0: all(); sys.stdout.flush(); os._exit(0)\n"
      "os.waitpid(child, 0)\n"
      "all()\n";
  const std::string ports = "OPEN, CLOSED = " + server.port_text() + ", " + closed.text() + "\n";
  const Outcome outcome =
      Python(ports + script, LettingHost(server.port_text() + ", " + closed.text()));
  const std::string once = "0\nEACCES\nECONNREFUSED\n0\nECONNREFUSED\n0\n";
  EXPECT_EQ(outcome.out, once + once + once + once) << outcome;
  const std::vector<json> connections = Connections();
  const auto made = std::count_if(connections.begin(), connections.end(), [](const json& record) {
    return record.value("result", "") == "connected";
  });
  EXPECT_EQ(made, 12);
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

// Over UDP and TCP, and while a thousand questions come at once; the cell has its loopback and
// nothing else.
TEST_F(EgressTest, ACellWithoutANetworkIsToldThatNoNameExists) {
  const std::string script =
      "import os, socket, struct\n"
      "def lookup(name):\n"
      "  try: return socket.getaddrinfo(name, 80)[0][4][0]\n"
      "  except socket.gaierror as e: return e.errno == socket.EAI_NONAME\n"
      "print(lookup('web.example'), lookup('web.example'), lookup('host'), lookup('localhost'))\n"
      "query = struct.pack('>6H', 7, 256, 1, 0, 0, 0) + b'\\3web\\7example\\0\\0\\1\\0\\1'\n"
      "tcp = socket.create_connection(('127.0.0.1', 53))\n"
      "tcp.sendall(struct.pack('>H', len(query)) + query)\n"
      "print('rcode', tcp.recv(512)[5] & 15)\n"
      "udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
      "for i in range(1000): udp.sendto(query[:i % len(query)], ('127.0.0.1', 53))\n"
      "print(lookup('last.example'))\n"
      "print(open(os.environ['CELLRUN_DENIALS']).read())\n";
  const Outcome outcome = Run({"python3", "-c", script}, {.profile = OpenProfile()});
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(outcome.out, testing::StartsWith("True True True ::1\nrcode 3\nTrue\n"));
  EXPECT_THAT(outcome.out, HasSubstr("`- {to: web.example, then: allow}` would")) << outcome;
  std::vector<std::string> refused;
  for (const json& record : Connections()) {
    EXPECT_EQ(record.value("verdict", ""), "deny") << record;
    refused.push_back(record.value("name", ""));
  }
  EXPECT_THAT(refused, testing::ElementsAre("web.example", "host", "last.example"));
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

TEST_F(EgressTest, DatagramsLeaveOnlyWhereARuleSaysUdp) {
  DatagramServer open(DatagramServer::Manner::kEcho), closed(DatagramServer::Manner::kEcho);
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

// A profile is outside of the workspace by its name, and in it all the same.
TEST_F(EgressChangeTest, AReloadTakesNothingThatTheCellCanWrite) {
  const Server server(nullptr), other(nullptr);
  Options options = LettingHost(other.port_text());
  Write(Work("mine.yaml"), Read(options.profile));
  std::filesystem::create_symlink(Work(), Path("elsewhere"));
  options.profile = Path("elsewhere/mine.yaml");
  Process cell = StartLines(
      "for line in sys.stdin:\n"
      "  text = open('mine.yaml').read().replace('" +
          other.port_text() + "', '" + server.port_text() +
          "')\n"
          "  open('mine.yaml', 'w').write(text)\n"
          "  print(line.strip(), code(" +
          server.port_text() + "))\n",
      options);
  cell.Write("1\n");
  ASSERT_TRUE(cell.WaitForOutput("1 EACCES\n")) << cell.err();
  ASSERT_THAT(Read(Work("mine.yaml")), HasSubstr(server.port_text())) << "the cell can";
  const Outcome reloaded = Cellrun({"egress", "reload", "changing"});
  EXPECT_EQ(reloaded.status, 1) << reloaded;
  EXPECT_THAT(reloaded.err, HasSubstr("lies in the workspace")) << reloaded;
  cell.Write("2\n");
  EXPECT_TRUE(cell.WaitForOutput("2 EACCES\n")) << cell.out();
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
}

TEST_F(EgressChangeTest, WhatIsTakenAwayIsSoOverUdpToo) {
  const DatagramServer server(DatagramServer::Manner::kEcho);
  Process cell = StartLines(
      "def ask():\n"
      "  u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(0.5)\n"
      "  try: u.sendto(b'x', ('host', " +
          server.port_text() +
          ")); return u.recv(1)\n"
          "  except OSError: return None\n"
          "for line in sys.stdin: print(line.strip(), ask())\n",
      Letting({"{to: host, ports: [" + server.port_text() + "], proto: udp, then: allow}"}));
  cell.Write("1\n");
  ASSERT_TRUE(cell.WaitForOutput("1 b'x'\n")) << cell.err();
  ASSERT_EQ(Cellrun({"egress", "remove", "changing", "host"}).status, 0);
  cell.Write("2\n");
  EXPECT_TRUE(cell.WaitForOutput("2 None\n")) << cell.out();
  const Outcome unknown = Cellrun({"egress", "remove", "changing", "e7"});
  EXPECT_EQ(unknown.status, 1) << "an id is not taken for a host";
  EXPECT_THAT(unknown.err, HasSubstr("no change e7")) << unknown;
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
}

TEST_F(EgressTest, TheEndOfACellSaysWhatBecameOfItsLookups) {
  for (const auto& rules :
       std::vector<std::vector<std::string>>{{}, {"{to: web.example.com, then: allow}"}}) {
    const Outcome outcome = Python(
        "for name in ('web.example.com', 'no.example.com'):\n"
        "  try: socket.gethostbyname(name)\n"
        "  except OSError: pass\n",
        Letting(rules));
    ASSERT_EQ(outcome.status, 0) << outcome;
    const json lookups = History().back()["detail"].value("lookups", json::object());
    EXPECT_EQ(lookups.value("closed", 0), rules.empty() ? 2 : 1) << lookups;
    EXPECT_EQ(lookups.value("addresses", -1), rules.empty() ? 0 : 1) << lookups;
    EXPECT_EQ(lookups.value("dropped", -1), 0) << lookups;
  }
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
