// SPDX-License-Identifier: Apache-2.0
// DNS servers that lie, are late or send junk, and descriptors that run out, in the cell and in the
// broker: an honest errno, the cell goes on, and nothing stays.
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "broker/net/message/wire_fixture.h"
#include "tests/support/name_server.h"
#include "tests/support/remains.h"
#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using namespace net::wire_fixture;  // NOLINT(google-build-using-namespace)
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using Question = NameServer::Question;

constexpr char kTrue[] = "127.0.0.1";
// What is no answer to the question is not taken for one: the call is let through after a second,
// and the connection reset when the question has had its time.
constexpr char kLate[] = "ECONNRESET";
constexpr std::size_t kTruncated = kResponse | 0x200, kServerFailure = 0x8182;

// An answer of 65,535 bytes: the address at its end, behind records of a type that nobody knows.
std::string Largest(const Question& question) {
  constexpr std::size_t kLargest = 65'535, kRecord = 12, kUnknown = 65'280;
  const std::string address("\x7F\0\0\1", 4);
  std::string records;
  std::size_t count = 1;
  const std::size_t last = kRecord + address.size();
  while (12 + question.wire.size() + records.size() + last + kRecord < kLargest) {
    const std::size_t room = kLargest - 12 - question.wire.size() - records.size() - last - kRecord;
    records +=
        ResourceRecord("\xC0\x0C", kUnknown, std::string(std::min<std::size_t>(room, 9000), 'x'));
    ++count;
  }
  if (question.type == 1) records += ResourceRecord("\xC0\x0C", 1, address);
  return Header(question.id, kResponse, {.answers = question.type == 1 ? count : count - 1}) +
         question.wire + records;
}

struct Lie {
  const char* name;
  NameServer::Script script;
  const char* code;  // of the connect; "" where it must succeed
};
const std::vector<Lie>& Lies() {
  static const std::vector<Lie> lies = {
      {"another-id",
       [](const Question& q) {
         Question other = q;
         other.id ^= 1;
         return NameServer::Answer(other, {kTrue});
       },
       kLate},
      {"another-name",
       [](const Question& q) {
         return Header(q.id, kResponse, {.answers = 1}) +
                net::wire_fixture::Question(Name("other.example.com"), q.type) +
                ResourceRecord("\xC0\x0C", 1, "\x7F\0\0\1");
       },
       kLate},
      {"junk", [](const Question& q) { return Word16(q.id) + std::string(500, '\xFF'); }, kLate},
      {"short", [](const Question& q) { return Word16(q.id) + "\x81\x80"; }, kLate},
      {"name-loop",
       [](const Question& q) {
         return Header(q.id, kResponse, {.answers = 1}) + q.wire +
                ResourceRecord("\xC0\x0C", 5, "\xC0\x0C");
       },
       "EHOSTUNREACH"},
      {"pointer-loop",
       [](const Question& q) {
         const std::size_t at = 0xC000 + 12 + q.wire.size();
         return Header(q.id, kResponse, {.answers = 1}) + q.wire +
                ResourceRecord(Word16(at), q.type, std::string(4, '\1'));
       },
       kLate},
      {"more-than-there-is",
       [](const Question& q) { return Header(q.id, kResponse, {.answers = 65'535}) + q.wire; },
       kLate},
      {"always-truncated", [](const Question& q) { return Header(q.id, kTruncated, {}) + q.wire; },
       "EHOSTUNREACH"},
      {"failure", [](const Question& q) { return Header(q.id, kServerFailure, {}) + q.wire; },
       "EHOSTUNREACH"},
      {"no-such-name", [](const Question& q) { return NameServer::NoSuchName(q); }, "EHOSTUNREACH"},
      {"largest",
       [](const Question& q) {
         return q.stream ? Largest(q) : Header(q.id, kTruncated, {}) + q.wire;
       },
       ""}};
  return lies;
}

class LiesTest : public Sandbox {
 protected:
  static constexpr char kConnect[] =
      "import socket, errno, sys\n"
      "def code(name, port):\n"
      "  s = socket.socket(); c = s.connect_ex((name, port)); s.settimeout(30)\n"
      "  try: return errno.errorcode[c] if c else s.recv(9).decode()\n"
      "  except OSError as e: return errno.errorcode[e.errno]\n";
  // How many the broker has when nothing changes any more.
  long SettledDescriptors() {
    long now = -1;
    EXPECT_TRUE(Until([&] {
      now = DescriptorCount(BrokerPid());
      usleep(300'000);
      return DescriptorCount(BrokerPid()) == now;
    }));
    return now;
  }
  Options Letting(const NameServer& names, const Server& web) {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: lies\ncommands: {default: allow}\nnetwork:\n"
                "  dns: {upstream: \"" +
                names.address() + "\"}\n  rules:\n    - {to: '*.example.com', ports: [" +
                web.port_text() + "], then: allow}\n    - {to: [127.0.0.0/8, host], ports: [" +
                web.port_text() + "], then: allow}\n")};
  }
};

std::set<std::string> Sorted(const std::string& text) {
  std::set<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.insert(line);
  return lines;
}

TEST_F(LiesTest, NoAnswerIsWorseThanAnErrno) {
  NameServer names([](const Question& question) {
    for (const Lie& lie : Lies())
      if (question.name == std::string(lie.name) + ".example.com") return lie.script(question);
    return NameServer::Answer(question, {kTrue});
  });
  const Server web(Server::Say("hello"));
  std::string script = std::string(kConnect) +
                       "import threading\n"
                       "said, port = {}, " +
                       web.port_text() +
                       "\n"
                       "def ask(name): said[name] = code(name + '.example.com', port)\n"
                       "all = []\n";
  std::string expected;
  for (const Lie& lie : Lies()) {
    script += "all.append(threading.Thread(target=ask, args=('" + std::string(lie.name) + "',)))\n";
    expected += lie.name + std::string(" ") + (*lie.code == '\0' ? "hello" : lie.code) + "\n";
  }
  script +=
      "for one in all: one.start()\n"
      "true = code('true.example.com', port)\n"
      "for one in all: one.join()\n"
      "for name, it in said.items(): print(name, it)\n"
      "print(true, code('true.example.com', port))\n";
  Options options = Letting(names, web);
  StartBroker();
  const auto tell = [&] {
    const Outcome outcome = Run({"python3", "-c", script}, options);
    EXPECT_EQ(Sorted(outcome.out), Sorted(expected + "hello hello\n")) << outcome;
  };
  // A few pipes are kept for the next connection: it may grow at first, but not each time.
  bool settled = false;
  for (int round = 0; round < 5 && !settled; ++round) {
    const long before = SettledDescriptors();
    tell();
    settled = round > 0 && SettledDescriptors() <= before;
  }
  EXPECT_TRUE(settled) << "each round leaves descriptors in the broker";
}

// Two connects wait for a server that says nothing, others do not.
TEST_F(LiesTest, SilenceEndsAndHoldsNobodyUp) {
  NameServer names([](const Question& question) {
    return question.name == "silent.example.com" ? std::string()
                                                 : NameServer::Answer(question, {kTrue});
  });
  const Server web(Server::Say("hello"));
  const Outcome outcome = Run(
      {"python3", "-c",
       std::string(kConnect) +
           "import threading, time\n"
           "port = " +
           web.port_text() +
           "\nlate = []\n"
           "all = [threading.Thread(target=lambda: late.append(code('silent.example.com', port)))\n"
           "       for _ in range(2)]\n"
           "for one in all: one.start()\n"
           "print({code('true.example.com', port) for _ in range(20)}, late)\n"
           "for one in all: one.join()\n"
           "print(late)\n"},
      Letting(names, web));
  EXPECT_THAT(outcome.out, HasSubstr("{'hello'} []\n")) << outcome;
  // Held for a second, then let through, and reset when the question has had its time.
  EXPECT_THAT(outcome.out, HasSubstr("['ECONNRESET', 'ECONNRESET']\n")) << outcome;
}

TEST_F(LiesTest, ACellWithoutDescriptorsHasAnErrnoAndGoesOn) {
  NameServer names(NameServer::Addresses{{"true.example.com", {kTrue}}});
  const Server web(Server::Say("hello"));
  const Outcome outcome =
      Run({"python3", "-c",
           std::string(kConnect) +
               "import resource\n"
               "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
               "held = []\n"
               "try:\n"
               "  while True:\n"
               "    s = socket.socket(); held.append(s); s.connect(('host', " +
               web.port_text() +
               "))\n"
               "except OSError as e: print(errno.errorcode[e.errno], len(held) "
               "> 50)\n"
               "try: socket.getaddrinfo('true.example.com', 1); print('found')\n"
               "except OSError as e: print(type(e).__name__)\n"
               "for s in held: s.close()\n"
               "print(code('true.example.com', " +
               web.port_text() + "))\n"},
          Letting(names, web));
  EXPECT_EQ(outcome.out, "EMFILE True\nOSError\nhello\n") << outcome;
}

// The broker's limit is lowered to what it has while a cell connects.
TEST_F(LiesTest, ABrokerWithoutDescriptorsRefusesHonestlyAndGoesOn) {
  NameServer names(NameServer::Addresses{{"true.example.com", {kTrue}}});
  const Server web(Server::Say("hello"));
  Options options = Letting(names, web);
  options.hold_input = true;
  StartBroker();
  Process cell = Start(
      {"python3", "-u", "-c",
       std::string(kConnect) +
           "for line in sys.stdin:\n"
           "  print(line.strip(), [code(n, " +
           web.port_text() + ") for n in ('host', 'true.example.com')], '/' + line.strip())\n"},
      options);
  const auto says = [&](const std::string& round) {
    cell.Write(round + "\n");
    if (!cell.WaitForOutput("/" + round)) return "nothing: " + cell.err();
    const std::size_t begin = cell.out().rfind(round + " [");
    return cell.out().substr(begin, cell.out().rfind(']') + 1 - begin);
  };
  EXPECT_EQ(says("first"), "first ['hello', 'hello']");
  const pid_t broker = BrokerPid();
  const long before = SettledDescriptors();
  rlimit64 was{}, none{};
  ASSERT_EQ(prlimit64(broker, RLIMIT_NOFILE, nullptr, &was), 0);
  none = {.rlim_cur = static_cast<rlim64_t>(before), .rlim_max = was.rlim_max};
  ASSERT_EQ(prlimit64(broker, RLIMIT_NOFILE, &none, nullptr), 0);
  const std::string refused = says("second");
  EXPECT_THAT(refused, AllOf(StartsWith("second ["), Not(HasSubstr("hello"))));
  ASSERT_EQ(prlimit64(broker, RLIMIT_NOFILE, &was, nullptr), 0);
  EXPECT_EQ(says("third"), "third ['hello', 'hello']");
  EXPECT_EQ(BrokerPid(), broker);
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
}

}  // namespace
}  // namespace cellrun::test
