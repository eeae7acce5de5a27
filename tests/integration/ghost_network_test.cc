// SPDX-License-Identifier: Apache-2.0
// What a ghost or a tool reaches, and how much it may use: what its rule names. Nothing of the
// cell's, and the cell gets nothing of it.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class GhostNetworkTest : public Sandbox {
 protected:
  // Everything runs; `sh` runs in a ghost with these rights. `more`: further sections.
  Options With(const std::string& rights, const std::string& more = "",
               const std::string& then = "allow") {
    return {.profile =
                WriteProfile("cellrun: 1\nname: ghosts\ncommands:\n  default: allow\n  rules:\n"
                             "    - {name: its-rule, when: {exe: sh}, then: " +
                             then + ", run: ghost, ghost: {" + rights + "}}\n" + more)};
  }
  static std::string Reaching(const std::string& port) { return "network: ['host:" + port + "']"; }
  // What a program there reads from a port of this machine, or why it cannot.
  static std::string Get(const std::string& port, const std::string& host = "host") {
    return "python3 -c 'import socket,sys\n"
           "try: s = socket.create_connection((\"" +
           host + "\", " + port +
           "), 20); print(s.recv(99).decode())\n"
           "except OSError as e: print(e.strerror or e)'";
  }
  static std::string InGhost(const std::string& script) {
    std::string quoted = "sh -c \"";
    for (const char c : script) {
      if (c == '"' || c == '\\' || c == '$') quoted += '\\';
      quoted += c;
    }
    return quoted + "\"";
  }
  std::vector<json> Records(const std::string& kind) {
    std::vector<json> found;
    for (json& record : History()) {
      if (record.value("kind", "") == kind) found.push_back(std::move(record));
    }
    return found;
  }
  json AwaitAsk() {
    json found;
    const bool came = Until([&] {
      const json asks =
          json::parse(Cellrun({"approvals", "list", "-o", "json"}).out, nullptr, false);
      if (!asks.is_array() || asks.empty()) return false;
      found = asks[0];
      return true;
    });
    EXPECT_TRUE(came) << "nobody asked";
    return came ? found : json({{"id", "none"}});
  }
  // The cells that run for another one.
  std::vector<json> Ghosts() {
    std::vector<json> ghosts;
    const json cells = json::parse(Cellrun({"ps", "-o", "json"}).out, nullptr, false);
    if (!cells.is_array()) return ghosts;
    for (const json& cell : cells) {
      if (!cell.value("ghost_of", "").empty()) ghosts.push_back(cell);
    }
    return ghosts;
  }
};

TEST_F(GhostNetworkTest, AGhostReachesWhatItsRuleNamesAndTheCellDoesNot) {
  const Server open(Server::Say("hello")), closed(Server::Say("secret"));
  EXPECT_EQ(Bare({"bash", "-c", Get(closed.port_text(), "127.0.0.1")}).out, "secret\n")
      << "without cellrun anything reaches it";
  const Outcome outcome =
      Shell(Get(open.port_text()) + "; " + InGhost(Get(open.port_text())) + "; " +
                InGhost(Get(closed.port_text())) + "; grep -c : /proc/net/dev",
            With(Reaching(open.port_text())));
  EXPECT_EQ(outcome.out, "Name or service not known\nhello\nPermission denied\n1\n") << outcome;
  EXPECT_EQ(open.accepted(), 1);
  EXPECT_EQ(closed.accepted(), 1) << "the one without cellrun";
}

TEST_F(GhostNetworkTest, WhatTheCellReachesItsGhostDoesNot) {
  const Server cells(Server::Say("cell's")), ghosts(Server::Say("ghost's"));
  const std::string network = "network: {default: deny, rules: [{to: host, ports: [" +
                              cells.port_text() +
                              "], then: allow}, {to: cell.example, then: allow}]}\n";
  const std::string both = Get(cells.port_text()) + "; " + Get(ghosts.port_text());
  const Outcome outcome = Shell(both + "; " + InGhost(both) + "; " +
                                    InGhost("getent ahosts cell.example || echo unknown") +
                                    "; getent ahosts cell.example >/dev/null && echo known",
                                With(Reaching(ghosts.port_text()), network));
  EXPECT_EQ(outcome.out, "cell's\nPermission denied\nPermission denied\nghost's\nunknown\nknown\n")
      << outcome;
}

TEST_F(GhostNetworkTest, AGhostReachesTheMembersOfItsGroups) {
  const Server open(Server::Say("hello")), closed(Server::Say("secret"));
  const std::string both = Get(open.port_text()) + "; " + Get(closed.port_text());
  const std::string groups = "network: {groups: {own: ['host:" + open.port_text() + "']}}\n";
  const Outcome outcome =
      Shell(Get(open.port_text()) + "; " + InGhost(both), With("network: ['@own']", groups));
  EXPECT_EQ(outcome.out, "Name or service not known\nhello\nPermission denied\n") << outcome;
  EXPECT_EQ(closed.accepted(), 0);
}

TEST_F(GhostNetworkTest, DatagramsLeaveAGhostWhereItsRuleSaysUdp) {
  DatagramServer open(DatagramServer::Manner::kEcho), closed(DatagramServer::Manner::kEcho);
  const auto ask = [](const std::string& port) {
    return "python3 -c 'import socket\n"
           "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(1)\n"
           "try: s.sendto(b\"abc\", (\"host\", " +
           port +
           ")); print(s.recv(9).decode())\n"
           "except OSError as e: print(type(e).__name__)'";
  };
  const std::string both = ask(open.port_text()) + "; " + ask(closed.port_text());
  EXPECT_EQ(Shell(both + "; " + InGhost(both), With("network: ['host:" + open.port_text() +
                                                    "/udp', 'host:" + closed.port_text() + "']"))
                .out,
            "gaierror\ngaierror\nabc\nTimeoutError\n")
      << "a destination over TCP is not one over UDP";
  EXPECT_EQ(open.received(), 1);
  EXPECT_EQ(closed.received(), 0);
  EXPECT_TRUE(Until([&] {  // what was carried is recorded when its ghost has gone
    bool recorded = false;
    for (const json& record : Records("connect"))
      recorded |= record.value("proto", "") == "udp" && record.value("bytes_out", 0) == 3;
    return recorded;
  }));
}

TEST_F(GhostNetworkTest, AGhostReachesAnotherCellThatItsRuleNames) {
  const std::string serve =
      "import socket\n"
      "s = socket.create_server((\"127.0.0.1\", 3000)); print(\"up\", flush=True)\n"
      "while True: s.accept()[0].send(b\"I am web\")\n";
  const std::string published =
      WriteProfile("cellrun: 1\nname: web\ncommands: {default: allow}\nnetwork: {publish: ['" +
                   ClosedPort().text() + ":3000']}\n");
  Process web = Start({"python3", "-c", serve}, {.profile = published, .flags = {"--name", "web"}});
  ASSERT_TRUE(web.WaitForOutput("up\n")) << web.err();
  const std::string get = Get("3000", "web.host.cell");
  EXPECT_EQ(Shell(get + "; " + InGhost(get) + "; " + InGhost(Get("3001", "web.host.cell")),
                  With("network: ['host.cell/web:3000']"))
                .out,
            "Name or service not known\nI am web\nPermission denied\n");
  EXPECT_EQ(Shell(InGhost(get), With("network: ['host:3000']")).out, "Name or service not known\n");
  web.Signal(SIGTERM);
  web.Wait();
}

TEST_F(GhostNetworkTest, AGhostWithoutANetworkHasNone) {
  // Whatever the cell has.
  const Server server(Server::Say("cell's"));
  const std::string network = "network: {default: deny, rules: [{to: host, ports: [" +
                              server.port_text() + "], then: allow}]}\n";
  const Outcome outcome =
      Shell(Get(server.port_text()) + "; " + InGhost("grep -c : /proc/net/dev") + "; " +
                InGhost(Get("1", "198.18.0.1")),
            With("", network));
  EXPECT_EQ(outcome.out, "cell's\n1\nPermission denied\n") << outcome;
}

TEST_F(GhostNetworkTest, NamesThatItsRuleDoesNotNameDoNotExist) {
  const Outcome outcome = Shell(
      InGhost("getent ahostsv4 let.example | head -1; getent ahosts other.example || echo unknown"),
      With("network: ['let.example:443']"));
  EXPECT_THAT(outcome.out, testing::MatchesRegex("198\\.1[89]\\..*\nunknown\n")) << outcome;
  const std::vector<json> records = Records("connect");
  ASSERT_EQ(records.size(), 1U);
  EXPECT_EQ(records[0].value("name", ""), "other.example");
  EXPECT_THAT(records[0].value("reason", ""), HasSubstr("ghost: {network: "));
}

TEST_F(GhostNetworkTest, RecordsNameTheGhostAndTheCommandThatItRuns) {
  const Server server(Server::Say("hello"));
  const Outcome outcome =
      Shell(InGhost(Get(server.port_text()) + "; " + Get("1")), With(Reaching(server.port_text())));
  EXPECT_EQ(outcome.out, "hello\nPermission denied\n") << outcome;
  std::string caller, ghost;
  std::int64_t exec = 0;
  for (const json& record : Records("exec")) {
    if (record.value("strategy", "") != "ghost") continue;
    caller = record.value("cell", "");
    exec = record.value("seq", 0);
  }
  ASSERT_NE(exec, 0);
  for (const json& record : Records("cell")) {
    if (record.value("result", "") != "started" || !record["detail"].contains("ghost_of")) continue;
    ghost = record.value("cell", "");
    EXPECT_EQ(record["detail"]["ghost_of"], caller);
    EXPECT_EQ(record["detail"]["exec"], exec);
  }
  const std::vector<json> connections = Records("connect");
  ASSERT_EQ(connections.size(), 3U) << "denied, connected, closed";
  for (const json& record : connections) {
    EXPECT_EQ(record.value("cell", ""), ghost) << record;
    ASSERT_TRUE(record.contains("detail")) << record;
    EXPECT_EQ(record["detail"].value("ghost_of", ""), caller) << record;
    EXPECT_EQ(record["detail"].value("exec", 0), exec) << record;
    if (record.value("verdict", "") == "allow") {
      EXPECT_EQ(record["rule"].value("name", ""), "its-rule");
    }
  }
}

TEST_F(GhostNetworkTest, WhyLeadsToTheCommandThatTheGhostRuns) {
  Shell(InGhost(Get("1")), With(Reaching("2")));
  const std::vector<json> connections = Records("connect");
  ASSERT_EQ(connections.size(), 1U);
  const Outcome why = Cellrun({"why", std::to_string(connections[0].value("seq", 0))});
  const std::int64_t exec = connections[0]["detail"].value("exec", 0);
  EXPECT_THAT(why.out, HasSubstr("that command is record " + std::to_string(exec))) << why;
  const Outcome command = Cellrun({"why", std::to_string(exec)});
  EXPECT_EQ(command.status, 0) << command;
  EXPECT_THAT(command.out, HasSubstr("its-rule"));
}

TEST_F(GhostNetworkTest, AToolReachesWhatItIsGivenAndNothingElse) {
  const Server open(Server::Say("hello")), closed(Server::Say("secret"));
  const std::string connect =
      "import socket,sys\n"
      "try: print(socket.create_connection((\"host\", int(sys.argv[1])), "
      "20).recv(99).decode())\n"
      "except OSError as e: print(e.strerror or e)\n";
  Write(Work("connect.py"), connect);
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: tools\ncommands: {default: allow}\ntools:\n"
      "  - {name: python3, network: ['host:" +
      open.port_text() + "']}\n");
  const std::string tool = "/run/cellrun/tools/python3 connect.py ";
  const Outcome outcome = Shell(tool + open.port_text() + "; " + tool + closed.port_text() +
                                    "; python3 connect.py " + open.port_text(),
                                {.profile = profile});
  EXPECT_EQ(outcome.out, "hello\nPermission denied\nName or service not known\n") << outcome;
  EXPECT_EQ(closed.accepted(), 0);
}

TEST_F(GhostNetworkTest, AToolThatIsAddedReachesWhatNetSays) {
  const Server server(Server::Say("hello"));
  Write(Work("connect.py"),
        "import socket,sys\n"
        "print(socket.create_connection((\"host\", int(sys.argv[1])), 20).recv(99).decode())\n");
  Options options{.profile = OpenProfile(), .flags = {"--name", "busy-bee"}, .hold_input = true};
  Process cell = Start({"bash", "-c", "echo up; read -r line; eval \"$line\""}, options);
  ASSERT_TRUE(cell.WaitForOutput("up\n"));
  const Outcome added =
      Cellrun({"tool", "add", "busy-bee", "python3", "--net", "host:" + server.port_text()});
  ASSERT_EQ(added.status, 0) << added;
  EXPECT_THAT(Cellrun({"tool", "ls", "busy-bee"}).out, HasSubstr("host:" + server.port_text()));
  cell.Write("/run/cellrun/tools/python3 connect.py " + server.port_text() + "\n");
  EXPECT_EQ(cell.Wait().out, "up\nhello\n");
}

TEST_F(GhostNetworkTest, WhatIsApprovedHasTheNetworkOfItsRule) {
  const Server server(Server::Say("hello"));
  Process cell = Start({"bash", "-c", InGhost(Get(server.port_text()))},
                       With(Reaching(server.port_text()), "approvals: {timeout: 30s}\n", "ask"));
  const json ask = AwaitAsk();
  EXPECT_THAT(ask["risk"].dump(), HasSubstr("host:" + server.port_text()))
      << "the person sees which rights it gets";
  EXPECT_EQ(server.accepted(), 0);
  ASSERT_EQ(Cellrun({"approve", ask["id"]}).status, 0);
  EXPECT_EQ(cell.Wait().out, "hello\n");
}

TEST_F(GhostNetworkTest, APersonIsAskedAboutAConnectionWhereTheWorkspaceSaysSo) {
  const Server server(Server::Say("hello"));
  Write(Work(".cellrun.yaml"),
        "cellrun: 1\nname: mine\nnetwork: {rules: [{to: host, then: ask, reason: phones home}]}\n");
  const Options options = With(Reaching(server.port_text()), "approvals: {timeout: 30s}\n");
  Process cell = Start({"bash", "-c", InGhost(Get(server.port_text()))}, options);
  const json ask = AwaitAsk();
  EXPECT_EQ(ask["argv"], json({"connect", "host:" + server.port_text()}));
  EXPECT_THAT(ask["risk"].dump(), HasSubstr("in a ghost of the cell"));
  const std::vector<json> ghosts = Ghosts();
  ASSERT_EQ(ghosts.size(), 1U);
  EXPECT_EQ(ask.value("cell", ""), ghosts[0].value("name", "-"));
  EXPECT_EQ(server.accepted(), 0) << "nothing may have left";
  ASSERT_EQ(Cellrun({"approve", ask["id"]}).status, 0);
  EXPECT_EQ(cell.Wait().out, "hello\n");

  Process denied = Start({"bash", "-c", InGhost(Get(server.port_text()))}, options);
  ASSERT_EQ(Cellrun({"deny", AwaitAsk()["id"], "--reason", "no"}).status, 0);
  EXPECT_EQ(denied.Wait().out, "Connection reset by peer\n");
  EXPECT_EQ(server.accepted(), 1);
}

TEST_F(GhostNetworkTest, TheNetworkOfAGhostIsListedAndCannotBeChanged) {
  const Server server(nullptr), other(nullptr);
  Process cell =
      Start({"bash", "-c", "sh -c 'touch up; exec sleep 100'"}, With(Reaching(server.port_text())));
  ASSERT_TRUE(Until([&] { return Exists(Work("up")); }));
  const std::vector<json> ghosts = Ghosts();
  ASSERT_EQ(ghosts.size(), 1U);
  const std::string name = ghosts[0].value("name", "");
  EXPECT_THAT(Cellrun({"egress", "list", name}).out,
              testing::AllOf(HasSubstr("host"), HasSubstr(server.port_text())));
  for (const Words& change :
       {Words{"egress", "add", name, "host:" + other.port_text()},
        Words{"egress", "remove", name, "host"}, Words{"egress", "bypass", name, "5m"},
        Words{"egress", "reload", name}}) {
    const Outcome refused = Cellrun(change);
    EXPECT_EQ(refused.status, 1) << refused;
    EXPECT_THAT(refused.err, HasSubstr("the network of a ghost cannot be changed")) << refused;
  }
  cell.Signal(SIGTERM);
  EXPECT_EQ(cell.Wait().status, 128 + SIGTERM);
}

TEST_F(GhostNetworkTest, GhostsWithANetworkEndWithTheBroker) {
  // The case fails in its end if a process or a mount is left; a gateway is held by processes only.
  MayLeaveSockets();
  const Server server(Server::Echo);
  const pid_t broker = StartBroker();
  Process process = Start({"bash", "-c",
                           InGhost("python3 -c 'import socket,time\n"
                                   "s = socket.create_connection((\"host\", " +
                                   server.port_text() +
                                   ")); s.sendall(b\"x\"); s.recv(1); open(\"up\", \"w\")\n"
                                   "time.sleep(100)'")},
                          With(Reaching(server.port_text())));
  ASSERT_TRUE(Until([&] { return Exists(Work("up")); }));
  ASSERT_EQ(kill(broker, SIGKILL), 0);
  EXPECT_EQ(process.Wait().status, 125);
}

TEST_F(GhostNetworkTest, AConnectionOfAGhostEndsWithItsCommand) {
  std::atomic<bool> ended{false};
  const Server server([&](int fd) {
    char byte = 0;
    while (recv(fd, &byte, 1, 0) > 0) {
    }
    ended = true;
  });
  const Outcome outcome = Shell(InGhost("python3 -c 'import socket,os\n"
                                        "s = socket.create_connection((\"host\", " +
                                        server.port_text() +
                                        ")); s.sendall(b\"x\")\nif os.fork() == 0:\n"
                                        "  import time; time.sleep(100)'") +
                                    "; echo over",
                                With(Reaching(server.port_text())));
  EXPECT_EQ(outcome.out, "over\n") << outcome;
  EXPECT_TRUE(Until([&] { return ended.load(); }));
}

// ---- Limits.

TEST_F(GhostNetworkTest, AGhostHasTheLimitsOfItsRule) {
  const std::string limits = "limits: {files: 64}\n";
  const Outcome outcome =
      Shell("ulimit -n; " + InGhost("ulimit -n"), With("limits: {files: 100}", limits));
  EXPECT_EQ(outcome.out, "64\n100\n") << outcome;
  EXPECT_EQ(Shell("ulimit -n; " + InGhost("ulimit -n"), With("", limits)).out, "64\n64\n");
}

TEST_F(GhostNetworkTest, AGhostCannotHaveMoreProcessesThanItsRuleSays) {
  const std::string many =
      "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 2 & done; wait; echo "
      "all";
  EXPECT_THAT(Shell(InGhost(many), With("limits: {processes: 100}")).out, HasSubstr("all"));
  const Outcome few = Shell(InGhost(many), With("limits: {processes: 10}"));
  EXPECT_THAT(few.out, Not(HasSubstr("all"))) << few;
  EXPECT_THAT(few.err, HasSubstr("fork")) << few;
}

TEST_F(GhostNetworkTest, AGhostIsEndedWhenItsTimeIsOver) {
  const auto before = std::chrono::steady_clock::now();
  const Outcome outcome = Shell("sh -c 'sleep 100'; echo status=$?", With("limits: {time: 1s}"));
  EXPECT_EQ(outcome.out, "status=124\n") << outcome;
  EXPECT_THAT(outcome.err, HasSubstr("it ran for 1s")) << outcome;
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(30));
  // The caller hears of it before the ghost's last process is gone.
  EXPECT_TRUE(Until([&] {
    const std::vector<json> records = Records("cell");
    return std::any_of(records.begin(), records.end(), [](const json& record) {
      return record.value("result", "") == "ended" && record["detail"].value("timed_out", false);
    });
  }));
}

TEST_F(GhostNetworkTest, ALimitThatTheHostCutsIsSaid) {
  const Outcome hard = Bare({"bash", "-c", "ulimit -Hn"});
  if (std::stoul(hard.out) >= 1'000'000) return;  // nothing is cut here
  Shell("sh -c true", With("limits: {files: 1000000}"));
  std::string warnings;
  for (const json& record : Records("cell")) {
    if (record["detail"].contains("ghost_of") && record["detail"].contains("warnings"))
      warnings += record["detail"]["warnings"].dump();
  }
  EXPECT_THAT(warnings, HasSubstr("limits.files: less than 1000000"));
}

}  // namespace
}  // namespace cellrun::test
