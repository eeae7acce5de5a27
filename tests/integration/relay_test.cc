// SPDX-License-Identifier: Apache-2.0
// Connections through the broker, byte by byte: whatever either end does, the other one sees what
// it would have seen of a direct connection.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <future>
#include <nlohmann/json.hpp>

#include "lib/wire/gateway.h"
#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

// How much `torrent` drives. CELLRUN_STREAMS=COUNT: so many, a thousand at once, larger ones.
struct Load {
  std::string count = "1200", parallel = "48", bytes = "300000";
  std::chrono::seconds limit{60};
};
Load Wanted() {
  const char* const given = getenv("CELLRUN_STREAMS");  // NOLINT(concurrency-mt-unsafe)
  if (given == nullptr) return {};
  return {.count = given, .parallel = "1000", .bytes = "2000000", .limit = std::chrono::hours(2)};
}

// Sends until nobody takes more, says how much that was, closes and ends; byte N is N mod 251.
constexpr char kFill[] = R"(
def fill(s):
  pattern, sent, waited = bytes(range(251)) * 1000, 0, 0
  s.setblocking(False)
  while waited < 15:
    try: sent, waited = sent + s.send(pattern[sent % 251:]), 0
    except BlockingIOError: waited += 1; time.sleep(0.02)
  s.close(); print(sent)
)";

// All that comes until the connection ends, and how it does: "1234 end".
std::string Count(int fd) {
  std::size_t count = 0;
  std::array<unsigned char, 65536> bytes{};
  ssize_t got = 0;
  while ((got = recv(fd, bytes.data(), bytes.size(), 0)) > 0) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
      if (bytes.at(i) != (count + i) % 251) return std::to_string(count + i) + " wrong";
    }
    count += static_cast<std::size_t>(got);
  }
  return std::to_string(count) + (got == 0 ? " end" : " reset");
}

class RelayTest : public Sandbox {
 protected:
  static std::string Torrent() {
    const std::string probe = Probe();
    return probe.substr(0, probe.rfind('/')) + "/torrent";
  }
  static Words Drive(const std::string& address, const std::string& port, const Load& load) {
    return {Torrent(), "drive", address, port, "1", load.count, load.parallel, load.bytes};
  }
  Process Serving(const Load& load) {
    Command command = CellrunCommand({}, {.hold_input = true});
    command.argv = {Torrent(), "serve", "127.0.0.1", "0"};
    command.time_limit = load.limit;
    Process server(std::move(command));
    EXPECT_TRUE(server.WaitForOutput("\n")) << server.err();
    return server;
  }
  static std::string PortOf(const Process& server) {
    const std::string word = "up ";
    const std::size_t begin = server.out().find(word) + word.size();
    return server.out().substr(begin, server.out().find('\n', begin) - begin);
  }
  // It has seen nothing but what was agreed.
  static void ExpectServed(Process& server, const std::string& count) {
    server.CloseInput();
    const Outcome outcome = server.Wait();
    EXPECT_EQ(outcome.status, 0) << outcome;
    EXPECT_THAT(outcome.out, HasSubstr("served " + count + "\n")) << outcome;
  }
  Options With(const std::string& network) {
    return {.profile = WriteProfile("cellrun: 1\nname: relay\ncommands: {default: allow}\n"
                                    "limits: {files: 4096}\nnetwork:\n" +
                                    network),
            .flags = ProbeFlags()};
  }
  Options LettingHost() { return With("  rules: [{to: host, then: allow}]\n"); }
  int PublishedPort() {
    int port = 0;
    EXPECT_TRUE(Until([&] {
      const json cells = json::parse(Cellrun({"ps", "-o", "json"}).out, nullptr, false);
      if (!cells.is_array() || cells.empty()) return false;
      const json ports =
          json::parse(Cellrun({"port", cells[0]["name"], "-o", "json"}).out, nullptr, false);
      port = ports.is_array() && !ports.empty() ? ports[0].value("port", 0) : 0;
      return port != 0;
    }));
    return port;
  }
};

TEST_F(RelayTest, TheTorrentNoticesWhatIsNotAsAgreed) {
  const Server echo(Server::Echo);  // agrees to nothing, and sends other bytes
  EXPECT_EQ(Bare(Drive("127.0.0.1", echo.port_text(), {.count = "12", .parallel = "1"})).status, 1);
}

TEST_F(RelayTest, EveryMannerOfConnectionIsAsWithoutARelay) {
  const Load load = Wanted();
  {
    Process server = Serving(load);
    const Outcome bare = Bare(Drive("127.0.0.1", PortOf(server), {}));
    EXPECT_EQ(bare.status, 0) << bare;
    ExpectServed(server, Load().count);
  }
  Process server = Serving(load);
  Options options = LettingHost();
  options.time_limit = load.limit;
  const Outcome cell = Run(Drive(&wire::kHostAddress[0], PortOf(server), load), options);
  EXPECT_EQ(cell.status, 0) << cell;
  EXPECT_THAT(cell.out, StartsWith("drove " + load.count + " "));
  ExpectServed(server, load.count);
}

TEST_F(RelayTest, EveryMannerOfConnectionIntoAPublishedPortAsWell) {
  const Load load = Wanted();
  Options options = With("  publish: [3000]\n");
  options.hold_input = true;
  options.time_limit = load.limit;
  Process server = Start({Torrent(), "serve", "127.0.0.1", "3000"}, options);
  ASSERT_TRUE(server.WaitForOutput("up 3000\n")) << server.err();
  Options driving;
  driving.time_limit = load.limit;
  const Outcome drove = Bare(Drive("127.0.0.1", std::to_string(PublishedPort()), load), driving);
  EXPECT_EQ(drove.status, 0) << drove;
  EXPECT_THAT(drove.out, StartsWith("drove " + load.count + " "));
  ExpectServed(server, load.count);
}

// ---- The end of a cell, while what its programs have sent is still on the way.

// Takes nothing until it may, then everything.
struct Patient {
  std::promise<void> may;
  std::promise<std::string> came;
  Server server{[this](int fd) {
    may.get_future().wait();
    came.set_value(Count(fd));
  }};
  std::string Came() {
    may.set_value();
    return came.get_future().get();
  }
};
std::string Filling(const Patient& patient, const std::string& address) {
  return "import socket, sys, time\n" + std::string(kFill) + "s = socket.create_connection(('" +
         address + "', " + patient.server.port_text() + "))\nfill(s)\n";
}

TEST_F(RelayTest, WhatAProgramSentBeforeItEndedArrives) {
  Patient bare, cell;
  const Outcome outside = Bare({"python3", "-c", Filling(bare, "127.0.0.1")});
  EXPECT_EQ(bare.Came() + "\n", outside.out.substr(0, outside.out.find('\n')) + " end\n");
  const Outcome inside = Run({"python3", "-c", Filling(cell, "host")}, LettingHost());
  EXPECT_EQ(inside.status, 0) << inside;
  const std::string sent = inside.out.substr(0, inside.out.find('\n'));
  EXPECT_EQ(cell.Came(), sent + " end") << "the cell is over, its connection is not";
  EXPECT_TRUE(Until([&] {
    for (const json& record : History({"--kind", "connect"})) {
      if (record.value("result", "") == "closed" &&
          std::to_string(record.value("bytes_out", 0)) == sent)
        return true;
    }
    return false;
  })) << "and it is recorded";
}

TEST_F(RelayTest, WhatAServerSentBeforeItEndedArrives) {
  Process server = Start({"python3", "-uc",
                          "import socket, sys, time\n" + std::string(kFill) +
                              "l = socket.socket(); l.bind(('127.0.0.1', 3000)); l.listen()\n"
                              "print('up', flush=True); fill(l.accept()[0])\n"},
                         With("  publish: [3000]\n"));
  ASSERT_TRUE(server.WaitForOutput("up\n")) << server.err();
  const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(PublishedPort()));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(connect(client.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  const Outcome outcome = server.Wait();
  ASSERT_EQ(outcome.status, 0) << outcome;
  EXPECT_EQ("up\n" + Count(client.get()) + "\n",
            outcome.out.substr(0, outcome.out.size() - 1) + " end\n");
}

// Ended by somebody else, it has nothing more to say, and what is missing shows.
TEST_F(RelayTest, WhatACellIsStoppedInIsReset) {
  Patient patient;
  std::string script = Filling(patient, "host");
  script.replace(script.rfind("fill(s)"), 7, "fill(s.dup()); print('filled', flush=True); input()");
  Options options = LettingHost();
  options.hold_input = true;
  Process cell = Start({"python3", "-c", script}, options);
  ASSERT_TRUE(cell.WaitForOutput("filled\n")) << cell.err();
  EXPECT_EQ(Cellrun({"broker", "stop", "--force"}).status, 0);
  (void)cell.Wait();
  EXPECT_THAT(patient.Came(), HasSubstr(" reset"));
}

}  // namespace
}  // namespace cellrun::test
