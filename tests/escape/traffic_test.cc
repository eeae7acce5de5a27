// SPDX-License-Identifier: Apache-2.0
// F: out over the network to an address that no rule names, with every packet seen: what counts is
// a capture outside of the cell. Each row in both families.
#include "tests/escape/scene.h"

namespace cellrun::test {
namespace {

struct Ends {
  const char *good, *evil, *seen;
};
constexpr Ends kFour{Scene::kGood, Scene::kEvil, "tcp 203.0.113.10:443"};
constexpr Ends kSix{Scene::kGood6, Scene::kEvil6, "tcp [2001:db8:1::10]:443"};

Words Program(const Words& attack, const Ends& ends) {
  Words words = {Escape::Program("escape_traffic")};
  words.insert(words.end(), attack.begin(), attack.end());
  for (const char* address : {ends.good, ends.evil}) {
    words.emplace_back(address);
    words.emplace_back("443");
  }
  return words;
}

void Ways(Escape& escape, const Ends& ends) {
  Scene scene(escape);
  scene.Try({.argv = Program({"ways"}, ends), .profile = scene.LettingGood()});
  scene.ExpectSent(ends.seen);
}
void Ways4(Escape& escape) {
  Ways(escape, kFour);
}
void Ways6(Escape& escape) {
  Ways(escape, kSix);
}

void Protocols(Escape& escape, const Ends& ends) {
  Scene scene(escape);
  scene.Try({.argv = Program({"protocols"}, ends), .profile = scene.LettingGood()});
}
void Protocols4(Escape& escape) {
  Protocols(escape, kFour);
}
void Protocols6(Escape& escape) {
  Protocols(escape, kSix);
}

// A cell with a gateway has one end of a veth pair; the other one is nobody's but the broker's.
void Cable(Escape& escape) {
  Scene scene(escape);
  scene.Try(
      {.argv = Program({"cable"}, kFour), .profile = scene.LettingGood(), .bare = Shown::kAsRoot});
}
// One without a gateway has nothing but its loopback.
void NoCable(Escape& escape) {
  Scene scene(escape);
  scene.Try({.argv = PythonAttack(
                 "names = [n for _, n in socket.if_nameindex()]; print(names)\n"
                 "for family, to in ((socket.AF_INET, '203.0.113.66'), (socket.AF_INET6, "
                 "'2001:db8:1::66')):\n"
                 "  for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
                 "    try: s = socket.socket(family, kind); s.settimeout(2); s.connect((to, 443)); "
                 "s.send(b'x')\n"
                 "    except OSError as e: print(e)\n"
                 "sys.exit(10 if names != ['lo'] else 11)\n"),
             .profile = scene.Profile("  default: deny\n")});
}

// ---- Races.

void Race_(Escape& escape, const char* kind, const Ends& ends, long share = 1) {
  Scene scene(escape);
  const long tries = std::max(10L, Escape::Iterations() / share);
  const auto argv = [&](long count) {
    Words words = Program({"race", kind}, ends);
    words.push_back(std::to_string(count));
    return words;
  };
  escape.MustWinOnce(argv(2000), [&] { return !scene.Strays().empty(); });
  scene.capture().Settle();
  Options options = escape.Using(scene.LettingGood());
  options.time_limit = std::chrono::seconds(60 + tries / 10);
  const Outcome cell = escape.Run(argv(tries), options);
  EXPECT_EQ(cell.status, 0) << cell;
  const std::string strays = scene.Strays();
  long wins = 0;
  for (const auto& [to, count] : scene.capture().Strays()) wins += count;
  scene.ExpectSent(std::string(kind) == "datagrams" ? "udp" + std::string(ends.seen).substr(3)
                                                    : ends.seen);
  escape.Count(wins, tries);
  escape.Note(cell.out.substr(0, cell.out.find('\n')));
  escape.MustHold(wins > 0, strays);
}
void Address4(Escape& escape) {
  Race_(escape, "addresses", kFour);
}
void Address6(Escape& escape) {
  Race_(escape, "addresses", kSix);
}
void Sockets4(Escape& escape) {
  Race_(escape, "sockets", kFour);
}
void Sockets6(Escape& escape) {
  Race_(escape, "sockets", kSix);
}
void Datagrams4(Escape& escape) {
  Race_(escape, "datagrams", kFour);
}
void Datagrams6(Escape& escape) {
  Race_(escape, "datagrams", kSix);
}

constexpr Case kCases[] = {
    {"F1", "ways", "send to a denied address in every way", Ways4},
    {"F19", "ways6", "the same over IPv6", Ways6},
    {"F3", "protocols", "other protocols, raw sockets, other families", Protocols4},
    {"F19", "protocols6", "the same over IPv6", Protocols6},
    {"F18", "cable", "frames, addresses and neighbours of the cell's link", Cable},
    {"F18", "no_cable", "a way out of a cell that lets nothing out", NoCable},
    {"F17", "race_address", "flip the address while connect is judged", Address4},
    {"F19", "race_address6", "the same over IPv6", Address6},
    {"F17", "race_sockets", "swap sockets of several kinds while connect is judged", Sockets4},
    {"F19", "race_sockets6", "the same over IPv6", Sockets6},
    {"F4", "race_datagrams", "flip the address of datagrams while they are sent", Datagrams4},
    {"F19", "race_datagrams6", "the same over IPv6", Datagrams6},
};
ESCAPE_SUITE(TrafficTest, kCases);

}  // namespace
}  // namespace cellrun::test
