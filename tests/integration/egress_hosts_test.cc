// SPDX-License-Identifier: Apache-2.0
// Hosts as they are found: with one family of addresses only, with resolvers that are silent, with
// resolvers of their own for some domains. Each case has a host's network of its own, in which the
// servers are and cellrun runs.
#include <gmock/gmock.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "tests/support/name_server.h"
#include "tests/support/network.h"
#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

constexpr char kFour[] = "203.0.113.10";
constexpr char kSix[] = "2001:db8::10";
const Addresses kNames{{"both.example.com", {kFour, kSix}},
                       {"four.example.com", {kFour}},
                       {"six.example.com", {kSix}}};

// For each "HOST,PORT": what came, or the errno; and whether it took longer than libc's own 10 s
// for a server that is silent (resolv.conf(5)). A name that nobody answers for costs 4 s.
constexpr char kTry[] = R"(
import errno, socket, sys, time
for word in sys.argv[1:]:
  host, port = word.split(',')
  began = time.monotonic()
  try: said = socket.create_connection((host, int(port))).recv(100).decode()
  except OSError as e: said = errno.errorcode.get(e.errno, 'no such name')
  print(host, said, 'late' if time.monotonic() - began > 9 else 'soon')
)";

class EgressHostsTest : public Sandbox {
 protected:
  std::string Resolvers(const std::string& text) { return Write(Path("resolv.conf"), text); }
  Options On(const Network& host, const std::string& dns = "") {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: host\ncommands: {default: allow}\nnetwork:\n" + dns +
                "  rules:\n"
                "    - {to: [.example.com, 203.0.113.0/24, \"2001:db8::/32\"], then: allow}\n"),
            .in_child = host.Enter()};
  }
  Outcome Try(const Words& where, const std::string& port, const Options& options) {
    Words argv = {"python3", "-c", kTry};
    for (const std::string& host : where) argv.push_back(host + "," + port);
    return Run(argv, options);
  }
  // The connections' records, by name.
  json Connection(const std::string& name, const std::string& result) {
    for (json& record : History()) {
      if (record.value("name", "") == name && record.value("result", "") == result)
        return std::move(record);
    }
    return json();
  }
};

UniqueFd Listening(const Network& host, const std::string& address) {
  return host.Bound(SOCK_STREAM, address);
}

TEST_F(EgressHostsTest, AHostWithoutIpv4ReachesWhatHasIpv6) {
  const Network host({.addresses = {kSix}, .resolv_conf = Resolvers("nameserver ::1\n")});
  NameServer names(kNames, host.Bound(SOCK_DGRAM, "::1", 53));
  const Server web(Server::Say("hello"), Listening(host, kSix));
  const Outcome outcome =
      Try({"both.example.com", "six.example.com", kSix, "four.example.com", kFour}, web.port_text(),
          On(host));
  EXPECT_EQ(outcome.out,
            "both.example.com hello soon\n"
            "six.example.com hello soon\n"
            "2001:db8::10 hello soon\n"
            "four.example.com ENETUNREACH soon\n"
            "203.0.113.10 ENETUNREACH soon\n")
      << outcome;
  EXPECT_THAT(names.asked(),
              ElementsAre("both.example.com", "four.example.com", "six.example.com"));
}

// The program uses an IPv4 socket; the way out is IPv6 all the same.
TEST_F(EgressHostsTest, AProgramNeedNotKnowWhichFamilyTheHostHas) {
  const Network host({.addresses = {kSix}, .resolv_conf = Resolvers("nameserver ::1\n")});
  NameServer names(kNames, host.Bound(SOCK_DGRAM, "::1", 53));
  const Server web(Server::Say("hello"), Listening(host, kSix));
  const Outcome outcome = Run({"python3", "-c",
                               "import socket\n"
                               "s = socket.socket(socket.AF_INET)\n"
                               "s.connect(('six.example.com', " +
                                   web.port_text() + "))\nprint(s.recv(100).decode())\n"},
                              On(host));
  EXPECT_EQ(outcome.out, "hello\n") << outcome;
  EXPECT_EQ(Connection("six.example.com", "connected")["detail"]["dialled"], kSix);
}

TEST_F(EgressHostsTest, AHostWithoutIpv6ReachesWhatHasIpv4) {
  const Network host(
      {.addresses = {kFour}, .ipv6 = false, .resolv_conf = Resolvers("nameserver 127.0.0.1\n")});
  NameServer names(kNames, host.Bound(SOCK_DGRAM, "127.0.0.1", 53));
  const Server web(Server::Say("hello"), Listening(host, kFour));
  const Outcome outcome = Try({"both.example.com", "four.example.com", kFour, "six.example.com"},
                              web.port_text(), On(host));
  const std::string reached =
      "both.example.com hello soon\n"
      "four.example.com hello soon\n"
      "203.0.113.10 hello soon\n";
  // As without cellrun: the second where IPv6 is switched off.
  EXPECT_THAT(outcome.out, testing::AnyOf(reached + "six.example.com ENETUNREACH soon\n",
                                          reached + "six.example.com EADDRNOTAVAIL soon\n"))
      << outcome;
  EXPECT_EQ(Connection("both.example.com", "connected")["detail"]["dialled"], kFour);
}

// The literal address of the family that is not there: as without cellrun, an errno at once.
TEST_F(EgressHostsTest, ALiteralAddressOfTheMissingFamilyIsAnHonestError) {
  const Network host({.addresses = {kFour}, .ipv6 = false});
  const std::string script =
      "import errno, socket\n"
      "s = socket.socket(socket.AF_INET6)\n"
      "print(errno.errorcode[s.connect_ex(('2001:db8::10', 80))])\n"
      "u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)\n"
      "print('datagram', u.connect_ex(('2001:db8::10', 80)))\n";
  const Outcome outcome = Run({"python3", "-c", script}, On(host));
  EXPECT_THAT(outcome.out, testing::AnyOf(HasSubstr("ENETUNREACH\n"), HasSubstr("EADDRNOTAVAIL\n")))
      << outcome;
}

// What listens on every address of the host is for the host, though anybody may have that address.
TEST_F(EgressHostsTest, AnAddressOfThisMachineNeedsARuleThatNamesIt) {
  const Network host({.addresses = {kFour, kSix}, .resolv_conf = Resolvers("nameserver ::1\n")});
  NameServer names(kNames, host.Bound(SOCK_DGRAM, "::1", 53));
  const Server four(Server::Say("hello"), Listening(host, kFour));
  Options options{.in_child = host.Enter()};
  const auto say = [&](const std::string& rules) {
    options.profile = WriteProfile(
        "cellrun: 1\nname: host\ncommands: {default: allow}\nnetwork:\n  rules:\n" + rules);
    return Try({"four.example.com", kFour}, four.port_text(), options).out;
  };
  const std::string both = "four.example.com hello soon\n203.0.113.10 hello soon\n";
  EXPECT_EQ(say("    - {to: [\"*\", 0.0.0.0/0], then: allow}\n"),
            "four.example.com EACCES soon\n203.0.113.10 EACCES soon\n");
  std::string reasons;
  for (const json& record : History()) {
    if (record.value("proto", "") == "tcp") reasons += record.value("reason", "") + "\n";
  }
  EXPECT_THAT(reasons, HasSubstr("203.0.113.10 is of this machine: such addresses are refused "
                                 "unless a rule names them; `- {to: \"203.0.113.10\""));
  EXPECT_EQ(say("    - {to: [\"*\", 203.0.113.0/24], then: allow}\n"), both);
}

// ---- resolv.conf

// How many bytes of questions wait on a socket that nobody reads.
int Waiting(const UniqueFd& silent) {
  int bytes = 0;
  EXPECT_EQ(ioctl(silent.get(), FIONREAD, &bytes), 0);
  return bytes;
}

// The first one never answers, the second is not there, and the third is whom the rest asks; its
// search list and options are for libc.
TEST_F(EgressHostsTest, AServerThatIsSilentOrNotThereIsPassedOver) {
  const Network host({.addresses = {kFour},
                      .resolv_conf = Resolvers("search corp.example.com\n"
                                               "options ndots:5 timeout:30 attempts:9 rotate\n"
                                               "nameserver 127.0.0.77\nnameserver 127.0.0.78\n"
                                               "nameserver 127.0.0.1\n")});
  const UniqueFd silent = host.Bound(SOCK_DGRAM, "127.0.0.77", 53);
  NameServer names(kNames, host.Bound(SOCK_DGRAM, "127.0.0.1", 53));
  const Server web(Server::Say("hello"), Listening(host, kFour));
  const Outcome outcome = Try({"four.example.com"}, web.port_text(), On(host));
  EXPECT_EQ(outcome.out, "four.example.com hello soon\n") << outcome;
  EXPECT_GT(Waiting(silent), 0) << "it was asked";
  EXPECT_THAT(names.asked(), ElementsAre("four.example.com"))
      << "the name that was judged is the one that is asked for";
  EXPECT_EQ(Connection("four.example.com", "connected")["detail"]["resolver"], "127.0.0.1");
}

TEST_F(EgressHostsTest, SilenceOfAllIsATimeoutAndTheCellGoesOn) {
  const Network host({.addresses = {kFour}, .resolv_conf = Resolvers("nameserver 127.0.0.77\n")});
  const UniqueFd silent = host.Bound(SOCK_DGRAM, "127.0.0.77", 53);
  const Server web(Server::Say("hello"), Listening(host, kFour));
  const Outcome outcome = Try({"four.example.com", kFour}, web.port_text(), On(host));
  // The call is held for a second; then the connection stands, and is reset.
  EXPECT_THAT(outcome.out, testing::AnyOf(HasSubstr("four.example.com ECONNRESET soon\n"),
                                          HasSubstr("four.example.com ETIMEDOUT soon\n")))
      << outcome;
  EXPECT_THAT(outcome.out, HasSubstr("203.0.113.10 hello soon\n"));
  EXPECT_EQ(Connection("four.example.com", "failed:ETIMEDOUT")["detail"]["resolver"], "127.0.0.77");
}

// ---- Split DNS

class SplitDnsTest : public EgressHostsTest {
 protected:
  // Both know every name, and lead to different places.
  static constexpr char kCorp[] = "203.0.113.20";
  const Addresses corporate_{{"git.corp.example.com", {kCorp}}, {"web.example.com", {kCorp}}};
  struct Outside {
    explicit Outside(const Network::Shape& shape) : host(shape) {}
    const Network host;
    NameServer everybodys{{{"git.corp.example.com", {kFour}}, {"web.example.com", {kFour}}},
                          host.Bound(SOCK_DGRAM, "127.0.0.1", 53)};
    const Server all{Server::Say("public"), host.Bound(SOCK_STREAM, kFour, 8080)};
    const Server corporate{Server::Say("private"), host.Bound(SOCK_STREAM, kCorp, 8080)};
  };
  void SetUp() override {
    EgressHostsTest::SetUp();
    outside_ = std::make_unique<Outside>(Network::Shape{
        .addresses = {kFour, kCorp}, .resolv_conf = Resolvers("nameserver 127.0.0.1\n")});
  }
  void TearDown() override {
    outside_.reset();
    EgressHostsTest::TearDown();
  }
  UniqueFd CorporateSocket() { return outside_->host.Bound(SOCK_DGRAM, "127.0.0.2", 5353); }
  Options With(const std::string& dns) { return On(outside_->host, "  dns: " + dns + "\n"); }
  // Who is asked for names, as `egress list` shows it of a cell that is called so.
  std::string Asked(const std::string& cell = "running") {
    const Outcome listed = Cellrun({"egress", "list", cell});
    const std::size_t header = listed.out.find("NAMES BELOW");
    if (header == std::string::npos) return listed.out + listed.err;
    std::string rows = listed.out.substr(listed.out.find('\n', header) + 1);
    return std::regex_replace(rows, std::regex("  +"), " ");
  }
  std::unique_ptr<Outside> outside_;
};

TEST_F(SplitDnsTest, ADomainIsAskedOfItsOwnResolverAlone) {
  NameServer corp(corporate_, CorporateSocket());
  const Options options = With("{split: {Corp.Example.com: \"127.0.0.2:5353\"}}");
  const Outcome outcome = Try({"git.corp.example.com", "web.example.com"}, "8080", options);
  EXPECT_EQ(outcome.out, "git.corp.example.com private soon\nweb.example.com public soon\n")
      << outcome;
  EXPECT_THAT(corp.asked(), ElementsAre("git.corp.example.com"));
  EXPECT_THAT(outside_->everybodys.asked(), ElementsAre("web.example.com"));
  EXPECT_EQ(Connection("git.corp.example.com", "connected")["detail"]["resolver"],
            "127.0.0.2:5353");
  EXPECT_EQ(Connection("web.example.com", "connected")["detail"]["resolver"], "127.0.0.1");
}

// Asking the others would tell them the name, and they might answer.
TEST_F(SplitDnsTest, NobodyElseIsAskedWhenThatOneIsNotThere) {
  const Outcome outcome =
      Try({"git.corp.example.com"}, "8080", With("{split: {corp.example.com: 127.0.0.9}}"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("public"))) << outcome;
  EXPECT_THAT(outside_->everybodys.asked(), testing::IsEmpty());
  const json failed = Connection("git.corp.example.com", "failed:EHOSTUNREACH");
  EXPECT_EQ(failed["detail"]["resolver"], "127.0.0.9") << failed;
}

TEST_F(SplitDnsTest, ADomainCanBeLeftToTheHost) {
  NameServer corp(corporate_, CorporateSocket());
  const Outcome outcome =
      Try({"git.corp.example.com", "web.example.com"}, "8080",
          With("{upstream: \"127.0.0.2:5353\", split: {corp.example.com: system}}"));
  EXPECT_EQ(outcome.out, "git.corp.example.com public soon\nweb.example.com private soon\n")
      << outcome;
}

TEST_F(SplitDnsTest, ARunningCellFollowsItsProfile) {
  NameServer corp(corporate_, CorporateSocket());
  Options options = With("{upstream: system}");
  options.flags = {"--name", "running"};
  options.hold_input = true;
  const std::string script =
      "import socket, sys\n"
      "for line in sys.stdin:\n"
      "  print(socket.create_connection(('git.corp.example.com', 8080)).recv(9), flush=True)\n";
  Process cell = Start({"python3", "-c", script}, options);
  cell.Write("\n");
  ASSERT_TRUE(cell.WaitForOutput("public")) << cell.err();
  EXPECT_EQ(Asked(), "any other 127.0.0.1 /etc/resolv.conf\n");
  const std::string profile = options.profile;
  std::string text = Read(profile);
  const std::string before = "{upstream: system}";
  text.replace(text.find(before), before.size(), "{split: {corp.example.com: \"127.0.0.2:5353\"}}");
  Write(profile, text);
  const Outcome reloaded = Cellrun({"egress", "reload", "running"});
  ASSERT_EQ(reloaded.status, 0) << reloaded;
  EXPECT_EQ(Asked(),
            "corp.example.com 127.0.0.2:5353 the profile\n"
            "any other 127.0.0.1 /etc/resolv.conf\n");
  cell.Write("\n");
  EXPECT_TRUE(cell.WaitForOutput("private")) << cell.err();
  cell.CloseInput();
  EXPECT_EQ(cell.Wait().status, 0);
}

TEST_F(SplitDnsTest, WhySaysWhoIsAsked) {
  const Options options = With("{split: {corp.example.com: [10.0.0.53, 10.0.0.54]}}");
  const Outcome corp =
      Cellrun({"why", "--profile", options.profile, "--", "connect", "git.corp.example.com:443"});
  EXPECT_THAT(corp.out, HasSubstr("its addresses are asked of 10.0.0.53, 10.0.0.54 alone: "
                                  "`network.dns.split` corp.example.com, " +
                                  options.profile + ":5"))
      << corp;
  const Outcome web =
      Cellrun({"why", "--profile", options.profile, "--", "connect", "web.example.com:443"});
  EXPECT_THAT(web.out, Not(HasSubstr("asked of"))) << web;
  const Outcome all = Cellrun({"why", "--profile", With("{upstream: 10.0.0.55}").profile, "--",
                               "connect", "web.example.com:443"});
  EXPECT_THAT(all.out, HasSubstr("its addresses are asked of 10.0.0.55: `network.dns.upstream`"))
      << all;
}

TEST_F(SplitDnsTest, AMistakeStartsNothing) {
  const Outcome outcome =
      Run({"touch", Work("ran")}, With("{split: {\"*.corp.example\": 10.0.0.53}}"));
  EXPECT_EQ(outcome.status, 125) << outcome;
  EXPECT_THAT(outcome.err, HasSubstr(":5:17: network.dns.split: '*.corp.example': a domain stands "
                                     "for everything below it as well: write 'corp.example'"));
  EXPECT_FALSE(Exists(Work("ran")));
}

}  // namespace
}  // namespace cellrun::test
