// SPDX-License-Identifier: Apache-2.0
#include "broker/net/resolver/resolver.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "broker/loop/loop_thread.h"
#include "broker/net/message/wire_fixture.h"
#include "lib/sys/network.h"
#include "lib/sys/socket.h"
#include "tests/support/required.h"

namespace cellrun::net {
namespace {

using namespace wire_fixture;  // NOLINT(google-build-using-namespace)
using std::chrono::steady_clock;

std::shared_ptr<const EgressJudge> Allowing(std::vector<std::string> to) {
  policy::Profile profile;
  profile.network_default.value = policy::Action::kDeny;
  policy::NetworkRule rule;
  rule.to = std::move(to);
  rule.then = policy::Action::kAllow;
  profile.network_rules.push_back(rule);
  auto compiled = policy::NetworkPolicy::Compile(profile);
  EXPECT_TRUE(compiled.ok());
  return std::make_shared<const EgressJudge>(
      std::make_shared<const policy::NetworkPolicy>(std::move(compiled.value())));
}

UniqueFd Bound(int type, std::uint16_t port) {
  Result<UniqueFd> socket = sys::InternetSocket(AF_INET, type);
  EXPECT_TRUE(socket.ok());
  const SocketAddress address = SocketAddressOf({.address = Ipv4(INADDR_LOOPBACK), .port = port});
  EXPECT_TRUE(sys::SetOption(*socket, SOL_SOCKET, SO_REUSEADDR, 1).ok());
  EXPECT_TRUE(sys::BindInternet(*socket, address.get(), address.size).ok());
  constexpr int kBacklog = 16;
  EXPECT_TRUE((type & SOCK_STREAM) == 0 || sys::Listen(*socket, kBacklog).ok());
  return std::move(*socket);
}

std::uint16_t PortOf(const UniqueFd& socket) {
  const sockaddr_storage address = sys::LocalAddress(socket).value();
  return ntohs(reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

// A loop on a thread of its own, as the broker has it, and resolvers on it.
class Served {
 public:
  Served() = default;
  Served(const Served&) = delete;
  Served& operator=(const Served&) = delete;
  ~Served() {
    thread_.Do([this] { resolvers_.clear(); });
  }
  // The port of its datagrams.
  std::uint16_t Add(std::vector<std::string> to, ResolverLimits limits = {},
                    std::uint16_t wanted_port = 0) {
    UniqueFd datagrams = Bound(SOCK_DGRAM | SOCK_NONBLOCK, wanted_port);
    UniqueFd streams = Bound(SOCK_STREAM | SOCK_NONBLOCK, wanted_port);
    const std::uint16_t port = PortOf(datagrams);
    stream_port_ = PortOf(streams);
    thread_.Do([&] {
      resolvers_.push_back(std::make_unique<Resolver>(
          thread_.loop(), Resolver::Sockets{std::move(datagrams), std::move(streams)},
          std::make_shared<Names>(), Allowing(std::move(to)), limits));
    });
    return port;
  }
  [[nodiscard]] std::uint16_t stream_port() const { return stream_port_; }
  const ResolverCounters& counters(std::size_t index) { return resolvers_.at(index)->counters(); }

 private:
  loop::LoopThread thread_;
  std::vector<std::unique_ptr<Resolver>> resolvers_;
  std::uint16_t stream_port_ = 0;
};

UniqueFd ConnectedTo(std::uint16_t port, int type) {
  UniqueFd socket = std::move(sys::InternetSocket(AF_INET, type)).value();
  const SocketAddress address = SocketAddressOf({.address = Ipv4(INADDR_LOOPBACK), .port = port});
  EXPECT_TRUE(sys::ConnectInternet(socket, address.get(), address.size).ok());
  return socket;
}

// What arrives within the time; "" at end of file, "timeout" otherwise.
std::string Receive(const UniqueFd& socket, std::chrono::milliseconds limit) {
  pollfd waiting{.fd = socket.get(), .events = POLLIN, .revents = 0};
  if (poll(&waiting, 1, static_cast<int>(limit.count())) != 1) return "timeout";
  std::array<char, 4096> buffer{};
  const Result<std::size_t> count = sys::ReceiveBytes(socket, buffer);
  return count.ok() ? std::string(buffer.data(), *count) : "";
}
constexpr std::chrono::seconds kLong{5};

std::string Framed(const std::string& message) {
  return Word16(message.size()) + message;
}

std::string Output(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "re");
  if (pipe == nullptr) return "popen failed";
  std::array<char, 4096> buffer{};
  while (fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
  pclose(pipe);
  return output;
}

TEST(ResolverTest, AnswersDatagrams) {
  Served served;
  const UniqueFd client = ConnectedTo(served.Add({"git.example.com"}), SOCK_DGRAM);
  ASSERT_TRUE(sys::SendBytes(client, Ask("git.example.com", type::kA, 99)).ok());
  const std::string answer = Receive(client, kLong);
  EXPECT_EQ(WordAt(answer, 0), 99U);
  EXPECT_EQ(Answers(answer), 1U);
}

TEST(ResolverTest, AnswersSeveralQueriesOfOneStream) {
  Served served;
  (void)served.Add({"git.example.com"});
  const UniqueFd client = ConnectedTo(served.stream_port(), SOCK_STREAM);
  const std::string both =
      Framed(Ask("git.example.com", type::kA, 1)) + Framed(Ask("other.example.com", type::kA, 2));
  // In pieces: what is not whole waits.
  ASSERT_TRUE(sys::SendBytes(client, both.substr(0, 20)).ok());
  EXPECT_EQ(Receive(client, std::chrono::milliseconds(50)), "timeout");
  ASSERT_TRUE(sys::SendBytes(client, both.substr(20)).ok());
  std::string answers;
  while (answers.size() < 100) {
    const std::string more = Receive(client, kLong);
    ASSERT_NE(more, "timeout");
    answers += more;
  }
  const std::size_t second = 2 + WordAt(answers, 0) + 2;
  EXPECT_EQ(WordAt(answers, 2), 1U);
  EXPECT_EQ(WordAt(answers, second), 2U);
  EXPECT_EQ(Code(answers.substr(second)), 3U);
}

// G7: drips, loops, lengths that promise much, too many at once.
TEST(ResolverTest, StreamsThatDoNotAskEnd) {
  Served served;
  (void)served.Add({"*"}, {.streams = 2, .stream_idle = std::chrono::milliseconds(100)});
  const auto ends = [&](const std::string& sent) {
    const UniqueFd client = ConnectedTo(served.stream_port(), SOCK_STREAM);
    EXPECT_TRUE(sys::SendBytes(client, sent).ok());
    return Receive(client, kLong);
  };
  EXPECT_EQ(ends("\x01"), "");
  EXPECT_EQ(ends(Framed(Ask("a.example.com", 1)).substr(0, 20)), "");
  EXPECT_EQ(ends("\xFF\xFF" + std::string(3000, 'x')), "");
  EXPECT_EQ(ends(Framed("junk")), "");
  const UniqueFd first = ConnectedTo(served.stream_port(), SOCK_STREAM);
  const UniqueFd second = ConnectedTo(served.stream_port(), SOCK_STREAM);
  const UniqueFd third = ConnectedTo(served.stream_port(), SOCK_STREAM);
  EXPECT_EQ(Receive(first, kLong), "");
  ASSERT_TRUE(sys::SendBytes(third, Framed(Ask("a.example.com", 1))).ok());
  EXPECT_EQ(Answers(Receive(third, kLong).substr(2)), 1U);
  EXPECT_GE(served.counters(0).streams_closed, 5U);
}

TEST(ResolverTest, DigAgrees) {
  REQUIRE_OR_SKIP(Output("command -v dig") != "", "dig");
  Served served;
  const std::uint16_t port = served.Add({"git.example.com", "*.example.org", "host"});
  const auto dig = [&](const std::string& rest) {
    return Output("dig @127.0.0.1 +tries=1 +time=5 -p " + std::to_string(port) + " " + rest);
  };
  EXPECT_EQ(dig("+short git.example.com A"), "198.18.1.0\n");
  EXPECT_EQ(dig("+short git.example.com AAAA"), "fd63:656c:6c00::c612:100\n");
  EXPECT_EQ(dig("+short -x 198.18.1.0"), "git.example.com.\n");
  EXPECT_EQ(dig("+short -x fd63:656c:6c00::c612:100"), "git.example.com.\n");
  EXPECT_EQ(dig("+short host A"), "198.18.0.1\n");
  EXPECT_EQ(dig("+short git.example.com TXT"), "");
  EXPECT_NE(dig("git.example.com HTTPS").find("status: NOERROR"), std::string::npos);
  EXPECT_NE(dig("git.example.com SVCB").find("ANSWER: 0"), std::string::npos);
  EXPECT_NE(dig("x.git.example.com A").find("status: NXDOMAIN"), std::string::npos);
  EXPECT_NE(dig("x.git.example.com TXT").find("status: NXDOMAIN"), std::string::npos);
  EXPECT_NE(dig("a.example.org A").find("status: NOERROR"), std::string::npos);
  EXPECT_NE(dig("git.example.com AXFR").find("failed"), std::string::npos);
  EXPECT_NE(dig("+edns=1 +noednsnegotiation git.example.com").find("status: BADVERS"),
            std::string::npos);
  EXPECT_NE(dig("+bufsize=512 +cookie git.example.com").find("198.18.1.0"), std::string::npos);
  EXPECT_NE(dig("CH version.bind TXT").find("status: REFUSED"), std::string::npos);
  // Nothing that dig warns about.
  EXPECT_EQ(dig("git.example.com").find("WARNING"), std::string::npos);
  EXPECT_EQ(dig("x.example.com").find("WARNING"), std::string::npos);
  const std::string stream =
      Output("dig @127.0.0.1 +tcp +short +keepopen -p " + std::to_string(served.stream_port()) +
             " git.example.com A git.example.com AAAA");
  EXPECT_EQ(stream, "198.18.1.0\nfd63:656c:6c00::c612:100\n");
}

// In a child: it is alone in new user, mount and network namespaces, with a resolv.conf of its own.
int AskThroughGlibc() {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) != 0) return 10;
  std::ofstream("/proc/self/setgroups") << "deny";
  std::ofstream("/proc/self/uid_map") << "0 " << uid << " 1";
  std::ofstream("/proc/self/gid_map") << "0 " << gid << " 1";
  if (!sys::RaiseLoopback().ok()) return 11;
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return 12;
  if (mount("none", "/tmp", "tmpfs", 0, nullptr) != 0) return 13;
  std::ofstream("/tmp/resolv.conf") << "nameserver 127.0.0.1\noptions ndots:0\n";
  std::ofstream("/tmp/nsswitch.conf") << "hosts: dns\n";
  if (mount("/tmp/resolv.conf", "/etc/resolv.conf", nullptr, MS_BIND, nullptr) != 0) return 14;
  if (mount("/tmp/nsswitch.conf", "/etc/nsswitch.conf", nullptr, MS_BIND, nullptr) != 0) return 15;
  Served served;
  constexpr std::uint16_t kDns = 53;
  if (served.Add({"git.example.com"}, {}, kDns) != kDns) return 16;
  const std::string python =
      "cd /; /usr/bin/python3 -c \"import socket\n"
      "print(sorted({a[4][0] for a in socket.getaddrinfo('git.example.com', 443)}))\n"
      "print(socket.getnameinfo(('198.18.1.0', 443), socket.NI_NAMEREQD)[0])\n"
      "for name in 'other.example.com', 'x.git.example.com':\n"
      "  try: socket.getaddrinfo(name, 443)\n"
      "  except socket.gaierror as error: print(error.errno == socket.EAI_NONAME)\"";
  const std::string output = Output(python);
  const std::string expected =
      "['198.18.1.0', 'fd63:656c:6c00::c612:100']\ngit.example.com\nTrue\nTrue\n";
  if (output != expected) (void)fprintf(stderr, "%s", output.c_str());
  return output == expected ? 0 : 17;
}

TEST(ResolverTest, GlibcAgrees) {
  REQUIRE_OR_SKIP(Output("command -v /usr/bin/python3") != "", "python3");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(AskThroughGlibc());
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  REQUIRE_OR_SKIP(!WIFEXITED(status) || WEXITSTATUS(status) != 10, "user namespaces");
  EXPECT_EQ(status, 0) << "exit status " << WEXITSTATUS(status);
}

std::chrono::nanoseconds Percentile(std::vector<std::chrono::nanoseconds> times, double part) {
  std::sort(times.begin(), times.end());
  return times.at(static_cast<std::size_t>(static_cast<double>(times.size() - 1) * part));
}

// Each question a name of its own, as fast as answers come.
std::vector<std::chrono::nanoseconds> TimesOf(const UniqueFd& client, int count) {
  std::vector<std::chrono::nanoseconds> times;
  for (int i = 0; i < count; ++i) {
    const auto before = steady_clock::now();
    EXPECT_TRUE(sys::SendBytes(client, Ask("git.example.com", type::kA)).ok());
    EXPECT_NE(Receive(client, kLong), "timeout");
    times.push_back(steady_clock::now() - before);
  }
  return times;
}

std::size_t ResidentKilobytes() {
  std::ifstream status("/proc/self/statm");
  std::size_t pages = 0;
  status >> pages >> pages;
  return pages * 4;
}

// G7: another cell's answers stay fast and memory flat while one sends as fast as it can.
TEST(ResolverTest, AFloodOfOneCellIsNotFeltByAnother) {
  Served served;
  const UniqueFd flooding = ConnectedTo(served.Add({"*"}), SOCK_DGRAM);
  const UniqueFd client = ConnectedTo(served.Add({"git.example.com"}), SOCK_DGRAM);
  (void)TimesOf(client, 100);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> sent{0};
  std::thread flood([&] {
    std::vector<char> sink(4096);
    for (std::size_t i = 0; !stop; ++i) {
      const std::string query = Ask("n" + std::to_string(i % 100'000) + ".example.com", type::kA);
      if (sys::SendBytes(flooding, query).ok()) ++sent;
      while (sys::ReceiveBytes(flooding, sink).ok()) {
      }
      // 50,000 a second.
      if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  (void)TimesOf(client, 500);
  const std::size_t before = ResidentKilobytes();
  const auto times = TimesOf(client, 3000);
  const std::size_t after = ResidentKilobytes();
  stop = true;
  flood.join();
  RecordProperty("p50_us", static_cast<int>(Percentile(times, 0.5).count() / 1000));
  RecordProperty("p99_us", static_cast<int>(Percentile(times, 0.99).count() / 1000));
  EXPECT_LT(Percentile(times, 0.99), std::chrono::milliseconds(10));
  EXPECT_LT(after, before + 4096);
  EXPECT_GT(sent, served.counters(0).queries / 2);
  EXPECT_GT(served.counters(0).capped, 0U);
}

}  // namespace
}  // namespace cellrun::net
