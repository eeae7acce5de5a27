// SPDX-License-Identifier: Apache-2.0
// Names in a cell: a rule's name leads to its host and is asked for when it connects, every other
// one does not exist, and nothing that a program asks for leaves. The oracle is the DNS server
// outside, which sees every question.
#include <gmock/gmock.h>
#include <sys/socket.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tests/support/name_server.h"
#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class EgressNamesTest : public Sandbox {
 protected:
  Options Letting(const NameServer& names, const std::vector<std::string>& rules) {
    std::string yaml =
        "cellrun: 1\nname: names\ncommands: {default: allow}\nnetwork:\n"
        "  default: deny\n  dns: {upstream: \"" +
        names.address() + "\"}\n  rules:\n";
    for (const std::string& rule : rules) yaml += "    - " + rule + "\n";
    return {.profile = WriteProfile(yaml)};
  }
  // web.example.com on that port, which may be where the test's server really is.
  std::vector<std::string> ToWeb(const Server& web) {
    const std::string ports = ", ports: [" + web.port_text() + "], then: allow}";
    return {"{to: web.example.com" + ports, "{to: 127.0.0.0/8" + ports};
  }
  Outcome Python(const std::string& script, const Options& options) {
    return Run({"python3", "-c", "import socket, os, sys\n" + script}, options);
  }
  std::vector<json> Connections() {
    std::vector<json> found;
    for (json& record : History()) {
      if (record.value("kind", "") == "connect") found.push_back(std::move(record));
    }
    return found;
  }
};

TEST_F(EgressNamesTest, ANameLeadsToItsHost) {
  NameServer names(Addresses{{"web.example.com", {"127.0.0.1"}}});
  const Server web(Server::Say("hello\n"));
  const Outcome outcome =
      Shell("cat < /dev/tcp/web.example.com/" + web.port_text(), Letting(names, ToWeb(web)));
  EXPECT_EQ(outcome.out, "hello\n") << outcome;
  EXPECT_THAT(names.asked(), ElementsAre("web.example.com"));
  const auto records = Connections();
  ASSERT_FALSE(records.empty());
  EXPECT_EQ(records.back().value("name", ""), "web.example.com");
  EXPECT_EQ(records.back().value("verdict", ""), "allow");
}

// The source that this user's npm is configured for is what @npm means, and nothing else is needed.
TEST_F(EgressNamesTest, NpmInstallsFromTheConfiguredSourceUnderStandard) {
  REQUIRE_OR_SKIP(Exists("/usr/bin/npm"), "no npm in /usr/bin");
  Write(Path("small/package/package.json"), R"({"name": "small", "version": "1.0.0"})");
  Write(Path("small/package/index.js"), "module.exports = 42\n");
  ASSERT_EQ(Bare({"tar", "-C", Path("small"), "-czf", Path("small.tgz"), "package"}).status, 0);
  const std::string package = Read(Path("small.tgz"));
  const Server source([&package](int fd) {
    std::string head;
    char byte = 0;
    while (!head.ends_with("\r\n\r\n") && recv(fd, &byte, 1, 0) == 1) head += byte;
    const std::string answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n"
        "Content-Length: " +
        std::to_string(package.size()) + "\r\n\r\n" + package;
    (void)send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
  });
  const std::string url = "http://npm.example.com:" + source.port_text() + "/";
  Write(Home(".npmrc"), "registry=" + url + "\n");
  Write(Work("package.json"),
        R"({"name": "x", "version": "1.0.0", "dependencies": {"small": "1.0.0"}})");
  Write(Work("package-lock.json"),
        R"({"name": "x", "version": "1.0.0", "lockfileVersion": 3, "requires": true, "packages": {
            "": {"name": "x", "version": "1.0.0", "dependencies": {"small": "1.0.0"}},
            "node_modules/small": {"version": "1.0.0", "resolved": ")" +
            url + R"(small/-/small-1.0.0.tgz"}}})");
  NameServer names(Addresses{{"npm.example.com", {"127.0.0.1"}}});
  const Options options = {
      .profile = WriteProfile("cellrun: 1\nname: packages\nextends: [standard]\nnetwork:\n"
                              "  dns: {upstream: \"" +
                              names.address() + "\"}\n  rules: [{to: 127.0.0.0/8, ports: [" +
                              source.port_text() + "], then: allow}]\n")};
  const Outcome outcome = Shell(
      "npm ci --no-audit --no-fund --no-update-notifier && node -p \"require('small')\"", options);
  EXPECT_EQ(outcome.status, 0) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("42")) << outcome;
  EXPECT_THAT(names.asked(), ElementsAre("npm.example.com"));
  const auto records = Connections();
  ASSERT_FALSE(records.empty());
  EXPECT_EQ(records.front()["rule"].value("name", ""), "package-sources");
}

TEST_F(EgressNamesTest, NobodyIsAskedBeforeAConnection) {
  NameServer names(Addresses{{"web.example.com", {"127.0.0.1"}}});
  const Server web(Server::Say("hello\n"));
  const Outcome outcome = Python(
      "print(sorted({a[4][0] for a in socket.getaddrinfo('web.example.com', 80)}))\n"
      "print(socket.getnameinfo(('198.18.1.0', 80), socket.NI_NAMEREQD)[0])\n"
      "print(socket.gethostbyname('host'))\n",
      Letting(names, ToWeb(web)));
  EXPECT_EQ(outcome.out,
            "['198.18.1.0', 'fd63:656c:6c00::c612:100']\nweb.example.com\n198.18.0.1\n")
      << outcome;
  EXPECT_THAT(names.asked(), IsEmpty());
}

TEST_F(EgressNamesTest, ANameThatNoRuleLetsOutDoesNotExist) {
  NameServer names(
      Addresses{{"web.example.com", {"127.0.0.1"}}, {"other.example.com", {"127.0.0.1"}}});
  const Server web(Server::Say("hello\n"));
  const Outcome outcome = Python(
      "for name in ('other.example.com', 'data.web.example.com', 'example.com', 'com'):\n"
      "  try: print(socket.getaddrinfo(name, 80))\n"
      "  except socket.gaierror as e: print(e.errno == socket.EAI_NONAME)\n"
      "print(open(os.environ['CELLRUN_DENIALS']).read())\n",
      Letting(names, ToWeb(web)));
  EXPECT_THAT(outcome.out, HasSubstr("True\nTrue\nTrue\nTrue\n")) << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("- {to: data.web.example.com, then: allow}"));
  EXPECT_THAT(names.asked(), IsEmpty());
  std::set<std::string> denied;
  for (const json& record : Connections()) {
    EXPECT_EQ(record.value("verdict", ""), "deny");
    denied.insert(record.value("name", ""));
  }
  EXPECT_THAT(denied,
              ElementsAre("com", "data.web.example.com", "example.com", "other.example.com"));
}

// G4: what an allowed name resolves to is judged as well.
TEST_F(EgressNamesTest, AnAnswerThatPointsInwardsIsNotDialled) {
  NameServer names(
      Addresses{{"web.example.com", {"127.0.0.1"}}, {"meta.example.com", {"169.254.169.254"}}});
  const Server web(Server::Say("hello\n"));
  ASSERT_EQ(Bare({"bash", "-c", "cat < /dev/tcp/127.0.0.1/" + web.port_text()}).out, "hello\n");
  const std::string script =
      "for name in ('web.example.com', 'meta.example.com'):\n"
      "  s = socket.socket(); s.settimeout(20)\n"
      "  try: s.connect((name, " +
      web.port_text() +
      ")); print(s.recv(9))\n"
      "  except OSError as e: print('refused')\n";
  const Outcome outcome = Python(
      script, Letting(names, {"{to: \"*.example.com\", then: allow}", "{to: \"*\", then: allow}"}));
  EXPECT_THAT(outcome.out, Not(HasSubstr("hello"))) << outcome;
  EXPECT_EQ(web.accepted(), 1) << "the one without cellrun";
  EXPECT_THAT(names.asked(), ElementsAre("meta.example.com", "web.example.com"));
}

// A rule about addresses counts for what a name has led to as well.
TEST_F(EgressNamesTest, WhatANameHasLedToIsCutWhenItsAddressIsTakenAway) {
  NameServer names(Addresses{{"web.example.com", {"127.0.0.1"}}});
  const Server web(Server::Echo);
  const DatagramServer datagrams(DatagramServer::Manner::kEcho);
  std::vector<std::string> rules = ToWeb(web);
  for (const char* to : {"web.example.com", "127.0.0.0/8"}) {
    rules.push_back("{to: " + std::string(to) + ", ports: [" + datagrams.port_text() +
                    "], proto: udp, then: allow}");
  }
  Options options = Letting(names, rules);
  options.flags = {"--name", "changing"};
  const std::string script =
      "s = socket.create_connection(('web.example.com', " + web.port_text() +
      "))\n"
      "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(0.5)\n"
      "to = (socket.gethostbyname('web.example.com'), " +
      datagrams.port_text() +
      ")\n"
      "s.sendall(b'x'); u.sendto(b'y', to); print(s.recv(1), u.recv(1), flush=True)\n"
      "try: print('end', s.recv(1))\n"
      "except ConnectionResetError: print('cut')\n"
      "u.sendto(b'z', to)\n"
      "try: print('answer', u.recv(1))\n"
      "except OSError as e: print('none')\n";
  Process cell = Start({"python3", "-c", "import socket\n" + script}, options);
  ASSERT_TRUE(cell.WaitForOutput("b'x' b'y'\n")) << cell.err();
  const Outcome removed = Cellrun({"egress", "remove", "changing", "127.0.0.0/8"});
  ASSERT_EQ(removed.status, 0) << removed;
  EXPECT_EQ(cell.Wait().out, "b'x' b'y'\ncut\nnone\n");
}

TEST_F(EgressNamesTest, ADatagramToWhereANameMayNotLeadIsADenial) {
  NameServer names(Addresses{{"web.example.com", {"127.0.0.1"}}});
  DatagramServer datagrams(DatagramServer::Manner::kEcho);
  const std::string script =
      "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
      "u.sendto(b'x', ('web.example.com', " +
      datagrams.port_text() +
      "))\n"
      "denied = open(os.environ['CELLRUN_DENIALS'])\n"
      "line = ''\n"
      "while 'web.example.com' not in line: line = denied.readline()\n"
      "print(line)\n";
  const std::string ports = ", ports: [" + datagrams.port_text() + "], proto: udp, then: allow}";
  const Outcome outcome = Python(script, Letting(names, {"{to: web.example.com" + ports}));
  EXPECT_THAT(outcome.out,
              AllOf(HasSubstr("\"verdict\":\"deny\""), HasSubstr("127.0.0.1 is loopback"),
                    HasSubstr("{to: \\\"127.0.0.1\\\"" + ports.substr(0, 10))))
      << outcome;
  EXPECT_EQ(datagrams.received(), 0);
}

// Each name has two sockets in the gateway for each port; those unused longest make room.
TEST_F(EgressNamesTest, DatagramsReachTheLastOfManyNames) {
  const DatagramServer datagrams(DatagramServer::Manner::kEcho);
  NameServer names([](const NameServer::Question& question) {
    return NameServer::Answer(question, {"127.0.0.1"});
  });
  const std::string ports = ", ports: [" + datagrams.port_text() + "], proto: udp, then: allow}";
  const std::string script =
      "reached = 0\n"
      "for i in range(150):\n"
      "  u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); u.settimeout(5)\n"
      "  if i % 2 == 0: u.sendto(b'x', ('n%d.example.com' % i, " +
      datagrams.port_text() +
      "))\n"
      "  else: u.connect(('n%d.example.com' % i, " +
      datagrams.port_text() +
      ")); u.send(b'x')\n"
      "  reached += u.recv(1) == b'x'\n"
      "print(reached)\n";
  const Outcome outcome = Python(
      script, Letting(names, {"{to: \"*.example.com\"" + ports, "{to: 127.0.0.0/8" + ports}));
  EXPECT_EQ(outcome.out, "150\n") << outcome;
}

TEST_F(EgressNamesTest, ManyConnectAtOnceToANameThatNobodyHasAskedFor) {
  NameServer names([](const NameServer::Question& question) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // what a resolver takes
    return NameServer::Answer(question, {"127.0.0.1"});
  });
  const Server web(Server::Say("hello\n"));
  const std::string script =
      "import threading\n"
      "to = (socket.gethostbyname('web.example.com'), " +
      web.port_text() +
      ")\n"
      "said, start = [], threading.Barrier(100)\n"
      "def one():\n"
      "  start.wait(); said.append(socket.create_connection(to).recv(9))\n"
      "all = [threading.Thread(target=one) for _ in range(100)]\n"
      "for t in all: t.start()\n"
      "for t in all: t.join()\n"
      "print(said.count(b'hello\\n'))\n";
  const Outcome outcome = Python(script, Letting(names, ToWeb(web)));
  EXPECT_EQ(outcome.out, "100\n") << outcome;
}

TEST_F(EgressNamesTest, ANameWithoutAnAddressIsUnreachableAndTheCellGoesOn) {
  NameServer names(Addresses{{"web.example.com", {"127.0.0.1"}}});
  const Server web(Server::Say("hello\n"));
  std::vector<std::string> rules = ToWeb(web);
  rules.insert(rules.begin(), "{to: gone.example.com, then: allow}");
  const Outcome outcome =
      Shell("cat < /dev/tcp/gone.example.com/80; cat < /dev/tcp/web.example.com/" + web.port_text(),
            Letting(names, rules));
  EXPECT_EQ(outcome.out, "hello\n") << outcome;
  EXPECT_NE(outcome.err, "");
}

// G1, G2: questions to other servers, other types and labels carry nothing out.
TEST_F(EgressNamesTest, QuestionsCarryNothingOut) {
  NameServer names(Addresses{{"web.example.com", {"127.0.0.1"}}});
  const Server web(Server::Say("hello\n"));
  const std::string ask =
      "import struct\n"
      "def ask(server, port, name, kind):\n"
      "  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)\n"
      "  q = struct.pack('>6H', 7, 256, 1, 0, 0, 0) + b''.join(bytes([len(l)]) + l.encode() for l "
      "in\n"
      "      name.split('.')) + struct.pack('>BHH', 0, kind, 1)\n"
      "  try:\n"
      "    s.sendto(q, (server, port)); print(s.recv(512)[3] & 15)\n"
      "  except OSError: print('nothing')\n";
  const std::string port = std::to_string(names.port());
  const Outcome bare =
      Bare({"python3", "-c",
            "import socket\n" + ask + "ask('127.0.0.1', " + port + ", 'bare.example.org', 16)\n"});
  ASSERT_THAT(names.asked(), ElementsAre("bare.example.org")) << bare;
  std::string script = ask;
  for (const char* server : {"127.0.0.1", "198.18.0.1", "10.0.0.1", "8.8.8.8", "224.0.0.251"}) {
    script += "ask('" + std::string(server) + "', " + port + ", 'c2VjcmV0.web.example.com', 16)\n";
  }
  const Outcome outcome =
      Python(script +
                 "for kind in (1, 28, 16, 10, 15, 255, 65): ask('198.18.0.3', 53, "
                 "'c2VjcmV0.web.example.com', kind)\n"
                 "for kind in (16, 10, 15, 65): ask('198.18.0.3', 53, 'web.example.com', kind)\n",
             Letting(names, ToWeb(web)));
  EXPECT_EQ(outcome.out,
            "nothing\nnothing\nnothing\nnothing\nnothing\n3\n3\n3\n3\n3\n3\n3\n0\n0\n0\n0\n")
      << outcome;
  EXPECT_THAT(names.asked(), ElementsAre("bare.example.org"));
}

TEST_F(EgressNamesTest, ClientsOfAllKindsAgree) {
  NameServer names(Addresses{{"web.example.com", {"127.0.0.1"}}});
  const Server web(Server::Say("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
  const std::string url = "http://web.example.com:" + web.port_text() + "/";
  const Outcome outcome = Shell(
      "getent hosts web.example.com | cut -d' ' -f1; getent hosts x.example.com || echo none\n"
      "node -e \"require('dns').lookup('web.example.com', {family: 4}, (e, a) => "
      "console.log(a))\"\n"
      "node -e \"require('dns').resolve4('web.example.com', (e, a) => console.log(a[0]))\"\n"
      "python3 -c \"import urllib.request; print(urllib.request.urlopen('" +
          url + "').read().decode())\"\n",
      Letting(names, ToWeb(web)));
  EXPECT_EQ(outcome.out, "fd63:656c:6c00::c612:100\nnone\n198.18.1.0\n198.18.1.0\nhello\n")
      << outcome;
}

}  // namespace
}  // namespace cellrun::test
