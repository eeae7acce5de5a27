// SPDX-License-Identifier: Apache-2.0
// F: out over the network, past a rule. One port of the host's loopback is let out, another one is
// not; what reaches that one is counted by who listens there.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/escape/escape.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

// Counts datagrams until it is destroyed.
class DatagramServer {
 public:
  DatagramServer() : fd_(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  [[nodiscard]] std::string port_text() const { return std::to_string(port_); }
  // On loopback they have arrived when the sender has ended.
  [[nodiscard]] int Take() const {
    char bytes[16];  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by recv
    int count = 0;
    while (recv(fd_.get(), &bytes[0], sizeof bytes, MSG_DONTWAIT) >= 0) ++count;
    return count;
  }

 private:
  UniqueFd fd_;
  std::uint16_t port_ = 0;
};

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
  const DatagramServer evil;
  int came = 0;
  escape.Try({.argv = Attack_("datagrams", good.port_text(), evil.port_text()),
              .profile = Letting(escape, good.port_text()),
              .prepare = [&] { came = 0; },
              .damage =
                  [&] {
                    came += evil.Take();
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

constexpr Case kCases[] = {
    {"F1", "denied_streams", "connect to a denied port in every way", Streams},
    {"F4", "denied_datagrams", "send datagrams where no rule says udp", Datagrams},
    {"F17", "address_race", "flip the port while connect is judged", AddressRace},
    {"F17", "socket_race", "swap the socket while connect is judged", SocketRace},
};
ESCAPE_SUITE(NetworkTest, kCases);

}  // namespace
}  // namespace cellrun::test
