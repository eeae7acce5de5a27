// SPDX-License-Identifier: Apache-2.0
// What the broker holds for its cells is bounded and reckoned with: what does not fit is refused
// and said, and nobody else notices.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <filesystem>
#include <list>
#include <nlohmann/json.hpp>
#include <vector>

#include "broker/daemon/descriptors.h"
#include "tests/support/remains.h"
#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// Greets whoever connects to its port 3000, and holds the connection.
constexpr char kHold[] = R"(
import socket
s = socket.socket()
s.bind(('127.0.0.1', 3000))
s.listen(2048)
print('ready', flush=True)
held = []
while True:
  c, _ = s.accept()
  c.sendall(b'hi')
  held.append(c)
)";

// A connection of the host to a port of 127.0.0.1, and the first two bytes or the errno.
struct Caller {
  explicit Caller(int port) : fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      said = strerrorname_np(errno);
  }
  // Waits for them.
  const std::string& Said() {
    if (said.empty()) said = Next();
    return said;
  }
  [[nodiscard]] std::string Next() const {
    constexpr int kLimitMs = 20'000;
    pollfd waiting{.fd = fd.get(), .events = POLLIN, .revents = 0};
    if (poll(&waiting, 1, kLimitMs) != 1) return "nothing";
    std::array<char, 2> bytes{};
    const ssize_t got = recv(fd.get(), bytes.data(), bytes.size(), 0);
    if (got < 0) return strerrorname_np(errno);
    return got == 0 ? "end" : std::string(bytes.data(), static_cast<std::size_t>(got));
  }
  // Ends it on both sides at once, whoever still holds the other one.
  void Reset() {
    const linger now{.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    fd.Reset();
  }
  UniqueFd fd;
  std::string said;
};

class DescriptorLimitsTest : public Sandbox {
 protected:
  void SetUp() override {
    Sandbox::SetUp();
    rlimit files{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
    files.rlim_cur = files.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);
  }
  Options With(const std::string& network, const std::string& name) {
    return {.profile = WriteProfile("cellrun: 1\nname: limits\ncommands: {default: allow}\n"
                                    "limits: {files: 4096}\nnetwork:\n" +
                                    network),
            .flags = {"--name", name},
            .time_limit = std::chrono::seconds(120)};
  }
  // A broker that starts with the run has no more descriptors than that.
  static Options Having(rlim_t descriptors, Options options) {
    options.in_child = [descriptors] {
      const rlimit limit = {descriptors, descriptors};
      (void)setrlimit(RLIMIT_NOFILE, &limit);
    };
    return options;
  }
  Process Holding(const Options& options) {
    Process process = Start({"python3", "-c", kHold}, options);
    EXPECT_TRUE(process.WaitForOutput("ready")) << process.err();
    return process;
  }
  int PortOf(const std::string& cell) {
    const json ports = json::parse(Cellrun({"port", cell, "-o", "json"}).out, nullptr, false);
    return ports.is_array() && !ports.empty() ? ports[0].value("port", 0) : 0;
  }
  std::size_t Count(const std::string& result) {
    std::size_t count = 0;
    for (const json& record : History()) {
      if (record.value("kind", "") == "connect" && record.value("result", "") == result) ++count;
    }
    return count;
  }
  [[nodiscard]] std::size_t BrokersDescriptors() const {
    const std::filesystem::directory_iterator held("/proc/" + std::to_string(BrokerPid()) + "/fd");
    return static_cast<std::size_t>(std::distance(begin(held), end(held)));
  }
};

TEST_F(DescriptorLimitsTest, APublishedPortHoldsAThousandAndRefusesTheNext) {
  constexpr int kCap = 1024;
  Process cell = Holding(With("  publish: [3000]\n", "full"));
  const int port = PortOf("full");
  std::list<Caller> callers;
  for (int i = 0; i < kCap; ++i) {
    callers.emplace_back(port);
    ASSERT_EQ(callers.back().Said(), "hi") << i;
  }
  EXPECT_EQ(Caller(port).Said(), "ECONNRESET");
  EXPECT_TRUE(Until([&] { return Count("failed:EAGAIN") == 1; }));
  EXPECT_EQ(Run({"echo", "another"}, With("  publish: [3000]\n", "other")).out, "another\n");
  callers.front().Reset();
  callers.pop_front();
  EXPECT_TRUE(Until([&] { return Caller(port).Said() == "hi"; })) << "there is room again";
  // And a cell that ends with them open leaves nobody waiting.
  cell.Signal(SIGTERM);
  (void)cell.Wait();
  for (Caller& caller : callers) {
    const std::string end = caller.Next();
    ASSERT_TRUE(end == "ECONNRESET" || end == "end") << end;
  }
  EXPECT_TRUE(Until([&] { return Count("closed") >= callers.size(); })) << Count("closed");
  // Another program may have been given the port meanwhile.
  EXPECT_TRUE(Until([&] { return Caller(port).said == "ECONNREFUSED"; }));
}

// A broker with few descriptors has room for fewer relays, and keeps the rest for its cells.
TEST_F(DescriptorLimitsTest, RelaysLeaveDescriptorsForEverythingElse) {
  constexpr rlim_t kFew = 400;
  constexpr std::size_t kRelays = kFew / 8;
  Process cell = Holding(Having(kFew, With("  publish: [3000]\n", "few")));
  const int port = PortOf("few");
  std::list<Caller> callers;
  for (std::size_t i = 0; i < kRelays; ++i) {
    callers.emplace_back(port);
    ASSERT_EQ(callers.back().Said(), "hi") << i;
  }
  EXPECT_EQ(Caller(port).Said(), "ECONNRESET");
  EXPECT_TRUE(Until([&] { return Count("failed:EAGAIN") == 1; }));
  const Server web(Server::Say("web\n"));
  const Outcome other = Shell("cat < /dev/tcp/host/" + web.port_text() + " || echo refused",
                              With("  rules: [{to: host, then: allow}]\n", "other"));
  EXPECT_EQ(other.status, 0) << other << "a cell starts, and what it connects to is refused";
  EXPECT_EQ(other.out, "refused\n") << other;
  for (Caller& caller : callers) caller.Reset();
  EXPECT_TRUE(Until([&] { return Caller(port).Said() == "hi"; }));
}

// Nobody is left in the backlog to wait for descriptors that may never come.
TEST_F(DescriptorLimitsTest, WhatComesInWithoutADescriptorIsReset) {
  StartBroker();
  Process cell = Holding(With("  publish: [3000]\n", "none"));
  const int port = PortOf("none");
  EXPECT_EQ(Caller(port).Said(), "hi");
  rlimit64 was{}, none{};
  ASSERT_EQ(prlimit64(BrokerPid(), RLIMIT_NOFILE, nullptr, &was), 0);
  none = {.rlim_cur = static_cast<rlim64_t>(DescriptorCount(BrokerPid())),
          .rlim_max = was.rlim_max};
  ASSERT_EQ(prlimit64(BrokerPid(), RLIMIT_NOFILE, &none, nullptr), 0);
  std::list<Caller> callers;
  constexpr std::size_t kGaps = 64;  // numbers below the limit that were free
  while (callers.size() < kGaps && (callers.empty() || callers.back().Said() == "hi"))
    callers.emplace_back(port);
  EXPECT_EQ(callers.back().Said(), "ECONNRESET") << callers.size();
  EXPECT_EQ(Caller(port).Said(), "ECONNRESET") << "and so is the next one";
  ASSERT_EQ(prlimit64(BrokerPid(), RLIMIT_NOFILE, &was, nullptr), 0);
  EXPECT_TRUE(Until([&] { return Caller(port).Said() == "hi"; }));
  EXPECT_TRUE(Until([&] { return Count("failed:EMFILE") >= 1; }));
}

// With everything that a cell can have: gateway, published ports, second wall, names.
TEST_F(DescriptorLimitsTest, AsRootACellHoldsNoMoreThanIsReckonedWith) {
  StartBroker();
  const Server web(Server::Say("web\n"));
  const auto start = [&](int number) {
    Options options = With("  publish: [3000, 3001]\n  rules: [{to: host, then: allow}]\n",
                           "cell" + std::to_string(number));
    options.hold_input = true;
    Process process =
        Start({"bash", "-c", "cat < /dev/tcp/host/$0; read line; true", web.port_text()}, options);
    EXPECT_TRUE(process.WaitForOutput("web\n")) << process.err();
    return process;
  };
  std::list<Process> cells;
  cells.push_back(start(0));  // with it comes what all of them share
  constexpr std::size_t kCells = 6;
  const std::size_t before = BrokersDescriptors();
  for (std::size_t i = 1; i <= kCells; ++i) cells.push_back(start(static_cast<int>(i)));
  const std::size_t reckoned = daemon::kDescriptorsOfACell + daemon::kDescriptorsOfAWall;
  const auto each = [&] { return (BrokersDescriptors() - before + kCells - 1) / kCells; };
  EXPECT_TRUE(Until([&] { return each() <= reckoned; })) << each() << " of " << reckoned;
  RecordProperty("descriptors", static_cast<int>(each()));
  EXPECT_GE(each() + 16, reckoned) << "reckoned with far more than there are";
  for (Process& cell : cells) {
    cell.CloseInput();
    EXPECT_EQ(cell.Wait().status, 0);
  }
}

// So many cells start as have room, and those that run have all that they need.
TEST_F(DescriptorLimitsTest, TheCellThatHasNoRoomIsRefusedAndTheOthersWork) {
  constexpr rlim_t kFew = 256;
  const Server web(Server::Say("web\n"));
  const auto options = [&](int number) {
    Options made = With("  rules: [{to: host, then: allow}]\n", "cell" + std::to_string(number));
    made.hold_input = true;
    return Having(kFew, made);
  };
  const Words argv = {"bash", "-c", "echo up; read line; cat < /dev/tcp/host/$0; /bin/echo worked",
                      web.port_text()};
  std::list<Process> cells;
  std::string refusal;
  constexpr int kMost = 12;  // that many would not fit
  for (int i = 0; i < kMost && refusal.empty(); ++i) {
    Process process = Start(argv, options(i));
    if (process.WaitForOutput("up\n")) {
      cells.push_back(std::move(process));
      continue;
    }
    const Outcome outcome = process.Wait();
    EXPECT_EQ(outcome.status, 125) << outcome;
    refusal = outcome.err;
  }
  EXPECT_THAT(refusal, HasSubstr("the broker serves no more cells at once"));
  EXPECT_GE(cells.size(), 2U);
  for (Process& cell : cells) {
    cell.Write("\n");
    cell.CloseInput();
    const Outcome outcome = cell.Wait();
    EXPECT_EQ(outcome.out, "up\nweb\nworked\n") << outcome;
  }
  EXPECT_EQ(Run({"echo", "room"}, With("  rules: []\n", "after")).out, "room\n");
}

}  // namespace
}  // namespace cellrun::test
