// SPDX-License-Identifier: Apache-2.0
// What comes into a cell: only through the ports that it publishes, and from another cell only by a
// rule that names it.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// Answers every connection with what it got, after a greeting; "ready" once it listens.
constexpr char kServe[] = R"(
import os, socket, sys, threading
family, address, port, greeting = sys.argv[1:]
s = socket.socket(socket.AF_INET6 if family == '6' else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((address, int(port)))
s.listen(64)
print('ready', flush=True)
def serve(c):
  try:
    c.sendall(greeting.encode() + b'\n')
    while True:
      part = c.recv(65536)
      if not part: break
      c.sendall(part)
  except OSError: pass
  c.close()
while True:
  c, _ = s.accept()
  threading.Thread(target=serve, args=(c,), daemon=True).start()
)";

// What a connection from the host gets: all that comes after `sent` and an end, or the errno.
std::string Talk(const std::string& address, int port, const std::string& sent = "") {
  const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(port));
  EXPECT_EQ(inet_pton(AF_INET, address.c_str(), &to.sin_addr), 1);
  const timeval limit{.tv_sec = 20, .tv_usec = 0};
  EXPECT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit), 0);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
    return strerrorname_np(errno);
  for (std::size_t done = 0; done < sent.size();) {
    const ssize_t put = send(fd.get(), sent.data() + done, sent.size() - done, MSG_NOSIGNAL);
    if (put <= 0) return strerrorname_np(errno);
    done += static_cast<std::size_t>(put);
  }
  (void)shutdown(fd.get(), SHUT_WR);
  std::string all;
  std::array<char, 65536> bytes{};
  ssize_t got = 0;
  while ((got = recv(fd.get(), bytes.data(), bytes.size(), 0)) > 0)
    all.append(bytes.data(), static_cast<std::size_t>(got));
  return got == 0 ? all : all + strerrorname_np(errno);
}

// A port of 127.0.0.1 that nobody had a moment ago.
class FreePort {
 public:
  FreePort() {
    const UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    EXPECT_EQ(bind(fd.get(), reinterpret_cast<const sockaddr*>(&any), size), 0);
    EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&any), &size), 0);
    port_ = ntohs(any.sin_port);
  }
  [[nodiscard]] std::string text() const { return std::to_string(port_); }

 private:
  int port_ = 0;
};

class InboundTest : public Sandbox {
 protected:
  struct Cell {
    std::string name;
    Process process;
  };
  std::string Publishing(const std::string& ports, const std::string& rules = "[]") {
    return WriteProfile(
        "cellrun: 1\nname: inbound\ncommands: {default: allow}\nnetwork:\n  rules: " + rules +
        "\n  publish: [" + ports + "]\n");
  }
  // A server in a cell of that name, which listens when this returns.
  Process Serving(const std::string& name, const std::string& profile, const std::string& port,
                  const Words& flags = {}, const std::string& where = "127.0.0.1") {
    Words all = {"--name", name};
    all.insert(all.end(), flags.begin(), flags.end());
    const std::string family = where.find(':') == std::string::npos ? "4" : "6";
    Process process =
        Start({"python3", "-c", kServe, family, where, port, "I am " + name},
              {.profile = profile, .flags = all, .time_limit = std::chrono::seconds(120)});
    EXPECT_TRUE(process.WaitForOutput("ready")) << process.err();
    return process;
  }
  static Outcome End(Process& process) {
    process.Signal(SIGTERM);
    return process.Wait();
  }
  json Ports(const std::string& cell) {
    const Outcome outcome = Cellrun({"port", cell, "-o", "json"});
    EXPECT_EQ(outcome.status, 0) << outcome;
    return json::parse(outcome.out, nullptr, false);
  }
  std::vector<json> InboundRecords(const std::string& result) {
    std::vector<json> found;
    for (json& record : History()) {
      const json detail = record.value("detail", json::object());
      if (record.value("kind", "") != "connect" || !detail.value("inbound", false)) continue;
      if (record.value("result", "").starts_with(result)) found.push_back(std::move(record));
    }
    return found;
  }
  // Until there are that many of them: an end is recorded after the peer has seen it.
  std::vector<json> AwaitRecords(const std::string& result, std::size_t count) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    std::vector<json> found = InboundRecords(result);
    while (found.size() < count && std::chrono::steady_clock::now() < limit) {
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      found = InboundRecords(result);
    }
    return found;
  }
};

TEST_F(InboundTest, APublishedPortIsReachedFromTheHost) {
  const FreePort free;
  const std::string port = free.text();
  Process cell = Serving("web", Publishing("'" + port + ":3000'"), "3000");
  const std::string big(3'000'000, 'x');
  EXPECT_EQ(Talk("127.0.0.1", std::stoi(port), big), "I am web\n" + big);
  EXPECT_EQ(Cellrun({"port", "web"}).out, "3000 -> 127.0.0.1:" + port + "\n");
  EXPECT_EQ(Cellrun({"port", "web", "3000"}).out, "127.0.0.1:" + port + "\n");
  EXPECT_EQ(Cellrun({"port", "web", "3001"}).status, 1);
  EXPECT_EQ(Cellrun({"port", "nobody"}).status, 1);
  EXPECT_EQ(Cellrun({"port", "web", "x"}).status, 2);
  EXPECT_EQ(Ports("web"), json::parse(R"([{"inner": 3000, "address": "127.0.0.1", "port": )" +
                                      port + R"(, "proto": "tcp"}])"));
  const std::vector<json> ends = AwaitRecords("closed", 1);
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_EQ(ends[0]["bytes_in"], big.size());
  EXPECT_EQ(ends[0]["bytes_out"], big.size() + 9);
  EXPECT_EQ(ends[0]["port"], 3000);
  EXPECT_EQ(ends[0]["detail"]["from_uid"], getuid());
  EXPECT_THAT(ends[0]["detail"]["from"].get<std::string>(), StartsWith("127.0.0.1:"));
  EXPECT_TRUE(ends[0]["detail"].contains("duration_ms"));
  EXPECT_EQ(AwaitRecords("connected", 1).size(), 1U);
  (void)End(cell);
  EXPECT_EQ(Talk("127.0.0.1", std::stoi(port)), "ECONNREFUSED") << "gone with the cell";
}

TEST_F(InboundTest, WithoutPublishNothingGetsIn) {
  const FreePort free;
  Process cell = Serving("alone", Publishing(""), free.text(), {}, "0.0.0.0");
  EXPECT_EQ(Talk("127.0.0.1", std::stoi(free.text())), "ECONNREFUSED");
  EXPECT_EQ(Cellrun({"port", "alone"}).out, "");
  (void)End(cell);
}

TEST_F(InboundTest, SeveralCellsPublishTheSamePort) {
  Process one = Serving("one", Publishing("3000"), "3000");
  Process two = Serving("two", Publishing("3000"), "3000");
  const int first = Ports("one")[0]["port"], second = Ports("two")[0]["port"];
  EXPECT_NE(first, second);
  EXPECT_EQ(Talk("127.0.0.1", first), "I am one\n");
  EXPECT_EQ(Talk("127.0.0.1", second), "I am two\n");
  // The second one says so, or the first where somebody else had that port.
  const std::string said = End(one).err + End(two).err;
  EXPECT_THAT(said, HasSubstr("port 3000 is published at 127.0.0.1:"));
}

TEST_F(InboundTest, AConflictStartsNothing) {
  const Server taken(Server::Say("other"));
  const Outcome outcome =
      Run({"touch", Work("ran")}, {.profile = Publishing("'" + taken.port_text() + ":80'")});
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("127.0.0.1:" + taken.port_text()));
  EXPECT_FALSE(Exists(Work("ran")));
  Process holder = Serving("holder", Publishing("'3000'"), "3000");
  const std::string held = std::to_string(Ports("holder")[0]["port"].get<int>());
  const Outcome second = Run({"true"}, {.profile = Publishing("'" + held + ":80'")});
  EXPECT_EQ(second.status, 125) << second;
  EXPECT_THAT(second.err, HasSubstr("the cell holder has it"));
  (void)End(holder);
}

TEST_F(InboundTest, TheCommandLinePublishesToo) {
  const FreePort free;
  Process cell = Serving("ad-hoc", Publishing(""), "3000", {"--publish", free.text() + ":3000"});
  EXPECT_EQ(Talk("127.0.0.1", std::stoi(free.text())), "I am ad-hoc\n");
  (void)End(cell);
  EXPECT_EQ(Run({"true"}, {.profile = Publishing(""), .flags = {"--publish", "x"}}).status, 2);
}

TEST_F(InboundTest, ReachesServersOnTheLoopbackOfEitherFamily) {
  Process cell = Serving("six", Publishing("3000"), "3000", {}, "::1");
  EXPECT_EQ(Talk("127.0.0.1", Ports("six")[0]["port"]), "I am six\n");
  (void)End(cell);
}

TEST_F(InboundTest, NobodyListeningIsAResetAndARecord) {
  Process cell = Serving("deaf", Publishing("3001"), "3000");
  const std::string ended = Talk("127.0.0.1", Ports("deaf")[0]["port"]);
  EXPECT_EQ(ended, "ECONNRESET");
  EXPECT_EQ(AwaitRecords("failed:ECONNREFUSED", 1).size(), 1U);
  (void)End(cell);
}

TEST_F(InboundTest, ListensOnTheLoopbackUnlessAnAddressIsWritten) {
  const FreePort free;
  Process cell = Serving("local", Publishing("3000, '127.0.0.3:" + free.text() + ":3001'"), "3000");
  const int port = Ports("local")[0]["port"];
  EXPECT_EQ(Ports("local")[0]["address"], "127.0.0.1");
  EXPECT_EQ(Talk("127.0.0.2", port), "ECONNREFUSED") << "bound to more than 127.0.0.1";
  EXPECT_EQ(Ports("local")[1]["address"], "127.0.0.3");
  EXPECT_EQ(Talk("127.0.0.1", std::stoi(free.text())), "ECONNREFUSED");
  EXPECT_THAT(End(cell).err, Not(HasSubstr("other machines")));
  const FreePort open;
  Process wide = Serving("wide", Publishing("'0.0.0.0:" + open.text() + ":3000'"), "3000");
  EXPECT_EQ(Talk("127.0.0.2", std::stoi(open.text())), "I am wide\n");
  EXPECT_THAT(End(wide).err, HasSubstr("where other machines may reach it"));
}

TEST_F(InboundTest, ABrokerThatIsKilledLeavesNoListener) {
  MayLeaveSockets();
  const pid_t broker = StartBroker();
  Process cell = Serving("orphan", Publishing("3000"), "3000");
  const int port = Ports("orphan")[0]["port"];
  ASSERT_EQ(Talk("127.0.0.1", port), "I am orphan\n");
  ASSERT_EQ(kill(broker, SIGKILL), 0);
  (void)cell.Wait();
  // Another program may have been given the port meanwhile.
  EXPECT_TRUE(Until([&] { return Talk("127.0.0.1", port) == "ECONNREFUSED"; }));
}

// The cell holds nothing but its own end: what it gets is a socket of its own network.
TEST_F(InboundTest, TheCellGetsNothingOfTheHost) {
  const Server secret(Server::Say("secret\n"));
  Process cell = Start({"python3", "-c",
                        "import socket, sys\n"
                        "s = socket.socket(); s.bind(('127.0.0.1', 3000)); s.listen(1)\n"
                        "print('ready', flush=True)\n"
                        "c, peer = s.accept()\n"
                        "out = [peer[0] == '127.0.0.1']\n"
                        "for where in [('127.0.0.1', " +
                            secret.port_text() +
                            "), peer]:\n"
                            "  t = socket.socket()\n"
                            "  out.append(t.connect_ex(where))\n"
                            "print(out, len(open('/proc/net/tcp').readlines()), flush=True)\n"
                            "c.close()\n"},
                       {.profile = Publishing("3000"), .flags = {"--name", "curious"}});
  ASSERT_TRUE(cell.WaitForOutput("ready")) << cell.err();
  (void)Talk("127.0.0.1", Ports("curious")[0]["port"]);
  const Outcome outcome = cell.Wait();
  EXPECT_THAT(outcome.out, HasSubstr("[True, 111, 111]")) << outcome;
  EXPECT_EQ(secret.accepted(), 0);
}

TEST_F(InboundTest, ManyConnectionsAtOnceAllArrive) {
  Process cell = Serving("busy", Publishing("3000"), "3000");
  const int port = Ports("busy")[0]["port"];
  constexpr int kThreads = 8, kEach = 25;
  std::array<int, kThreads> good{};
  std::vector<std::thread> threads;
  for (int& count : good) {
    threads.emplace_back([&count, port] {
      for (int i = 0; i < kEach; ++i)
        if (Talk("127.0.0.1", port, "hello") == "I am busy\nhello") ++count;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const int count : good) EXPECT_EQ(count, kEach);
  EXPECT_EQ(AwaitRecords("closed", kThreads * kEach).size(), std::size_t{kThreads * kEach});
  (void)End(cell);
}

// A server that takes nothing: whoever waits is let go after a while, and the cell goes on.
TEST_F(InboundTest, AServerThatDoesNotAcceptCostsNobodyElse) {
  Process cell = Start({"python3", "-c",
                        "import socket, time\n"
                        "full = socket.socket(); full.bind(('127.0.0.1', 3001)); full.listen(0)\n"
                        "good = socket.socket(); good.bind(('127.0.0.1', 3000)); good.listen(64)\n"
                        "print('ready', flush=True)\n"
                        "while True:\n"
                        "  c, _ = good.accept(); c.sendall(b'good'); c.close()\n"},
                       {.profile = Publishing("3000, 3001"), .flags = {"--name", "full"}});
  ASSERT_TRUE(cell.WaitForOutput("ready")) << cell.err();
  const int good = Ports("full")[0]["port"], full = Ports("full")[1]["port"];
  std::vector<std::thread> stuck;
  for (int i = 0; i < 20; ++i) stuck.emplace_back([full] { (void)Talk("127.0.0.1", full); });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(Talk("127.0.0.1", good), "good");
  EXPECT_GE(AwaitRecords("failed:ETIMEDOUT", 1).size(), 1U);
  (void)End(cell);
  for (std::thread& thread : stuck) thread.join();
}

TEST_F(InboundTest, IsListedWithTheCell) {
  Process cell = Serving("listed", Publishing("3000"), "3000");
  const json cells = json::parse(Cellrun({"ps", "-o", "json"}).out, nullptr, false);
  ASSERT_EQ(cells.size(), 1U);
  EXPECT_EQ(cells[0]["ports"], Ports("listed"));
  const Outcome history = Cellrun({"history", "--kind", "connect"});
  EXPECT_EQ(history.out, "") << history;
  ASSERT_EQ(Talk("127.0.0.1", Ports("listed")[0]["port"]), "I am listed\n");
  ASSERT_EQ(AwaitRecords("closed", 1).size(), 1U);
  const std::string line = Cellrun({"history", "--kind", "connect", "-o", "table"}).out;
  EXPECT_THAT(line, HasSubstr("inbound 127.0.0.1:"));
  EXPECT_THAT(line, HasSubstr("→ 3000"));
  (void)End(cell);
}

// ---- Other cells.

constexpr char kAsk[] =
    "import errno, socket, sys\n"
    "s = socket.socket()\n"
    "try: s.connect((sys.argv[1], int(sys.argv[2])))\n"
    "except socket.gaierror: print('no such name'); sys.exit()\n"
    "except OSError as e: print(errno.errorcode[e.errno]); sys.exit()\n"
    "s.sendall(b'hi'); s.shutdown(socket.SHUT_WR)\n"
    "all = b''\n"
    "while True:\n"
    "  part = s.recv(4096)\n"
    "  if not part: break\n"
    "  all += part\n"
    "print(all.decode())\n";

TEST_F(InboundTest, AnotherCellIsReachedByARuleThatNamesIt) {
  Process web = Serving("web", Publishing("3000"), "3000");
  Process hidden = Serving("hidden", Publishing("3000"), "3000");
  const auto ask = [&](const std::string& name, const std::string& port, const std::string& rules) {
    return Run({"python3", "-c", kAsk, name, port}, {.profile = Publishing("", rules)}).out;
  };
  const std::string rule = "[{to: host.cell/web, then: allow}]";
  EXPECT_EQ(ask("web.host.cell", "3000", rule), "I am web\nhi\n");
  EXPECT_EQ(ask("web.host.cell", "3001", rule), "ECONNREFUSED\n") << "not published";
  EXPECT_EQ(ask("hidden.host.cell", "3000", rule), "no such name\n");
  EXPECT_EQ(ask("web.host.cell", "3000", "[{to: '*', then: allow}]"), "no such name\n")
      << "only a rule that names it";
  EXPECT_EQ(ask("nobody.host.cell", "3000", "[{to: host.cell/nobody, then: allow}]"),
            "EHOSTUNREACH\n");
  EXPECT_EQ(ask("web.host.cell", "3000", "[{to: host.cell/web, ports: [80], then: allow}]"),
            "EACCES\n");
  const std::vector<json> ends = AwaitRecords("closed", 1);
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_THAT(ends[0]["detail"]["from"].get<std::string>(), StartsWith("cell "));
  EXPECT_EQ(ends[0]["bytes_in"], 2);
  EXPECT_EQ(ends[0]["bytes_out"], 11);
  (void)End(web);
  (void)End(hidden);
}

TEST_F(InboundTest, TheEndOfTheOtherCellCutsIt) {
  Process web = Serving("web", Publishing("3000"), "3000");
  Process client = Start({"python3", "-c",
                          "import socket\n"
                          "s = socket.create_connection(('web.host.cell', 3000))\n"
                          "print(s.recv(100), flush=True)\n"
                          "try: print('end', s.recv(100), flush=True)\n"
                          "except OSError as e: print('cut', e.errno, flush=True)\n"},
                         {.profile = Publishing("", "[{to: host.cell/web, then: allow}]")});
  ASSERT_TRUE(client.WaitForOutput("I am web")) << client.err();
  (void)End(web);
  const Outcome outcome = client.Wait();
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_TRUE(outcome.out.find("end b''") != std::string::npos ||
              outcome.out.find("cut 104") != std::string::npos)
      << outcome;
}

}  // namespace
}  // namespace cellrun::test
