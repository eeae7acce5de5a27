// SPDX-License-Identifier: Apache-2.0
// Connections that leave through a proxy: what it is told is what was judged.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/support/sandbox.h"
#include "tests/support/server.h"

namespace cellrun::test {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;
using namespace std::string_literals;

bool Say(int fd, const std::string& text) {
  return send(fd, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}
std::string Take(int fd, std::size_t bytes) {
  std::string text(bytes, '\0');
  const ssize_t got = recv(fd, text.data(), bytes, MSG_WAITALL);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return text;
}

// Remembers what it was asked for, and greets in the name of whatever was wanted.
class Proxy {
 public:
  std::string Asked() {
    const std::lock_guard lock(mutex_);
    return asked_;
  }

 protected:
  void Note(const std::string& text) {
    const std::lock_guard lock(mutex_);
    asked_ += text;
  }

 private:
  std::mutex mutex_;
  std::string asked_;
};

class HttpProxy : public Proxy {
 public:
  explicit HttpProxy(std::string answer) : answer_(std::move(answer)) {}
  [[nodiscard]] std::string port() const { return server_.port_text(); }
  [[nodiscard]] int accepted() const { return server_.accepted(); }

 private:
  void Serve(int fd) {
    std::string head;
    while (!head.ends_with("\r\n\r\n")) {
      const std::string byte = Take(fd, 1);
      if (byte.empty()) return;
      head += byte;
    }
    Note(head);
    if (Say(fd, answer_)) Server::Echo(fd);
  }
  const std::string answer_;
  const Server server_{[this](int fd) { Serve(fd); }};
};

class SocksProxy : public Proxy {
 public:
  explicit SocksProxy(char reply, bool login) : reply_(reply), login_(login) {}
  [[nodiscard]] std::string port() const { return server_.port_text(); }

 private:
  void Serve(int fd) {
    const std::string greeting = Take(fd, 2);
    if (greeting.size() != 2) return;
    (void)Take(fd, static_cast<std::size_t>(greeting[1]));
    (void)Say(fd, login_ ? "\x05\x02"s : "\x05\x00"s);
    if (login_) {
      const std::string user = Take(fd, static_cast<unsigned char>(Take(fd, 2)[1]));
      const std::string password = Take(fd, static_cast<unsigned char>(Take(fd, 1)[0]));
      Note(user + "/" + password + "/");
      (void)Say(fd, "\x01\x00"s);
    }
    const std::string head = Take(fd, 5);
    if (head.size() != 5 || head[3] != 3) return Note("no name");
    const std::string name = Take(fd, static_cast<unsigned char>(head[4]));
    const std::string port = Take(fd, 2);
    Note(name + ":" +
         std::to_string(static_cast<unsigned char>(port[0]) * 256 +
                        static_cast<unsigned char>(port[1])));
    (void)Say(fd, "\x05"s + reply_ + "\x00\x01\x00\x00\x00\x00\x00\x00"s);
    if (reply_ == 0) Server::Echo(fd);
  }
  const char reply_;
  const bool login_;
  const Server server_{[this](int fd) { Serve(fd); }};
};

constexpr char kConnect[] =
    "import errno, os, socket, sys\n"
    "s = socket.socket()\n"
    "code = s.connect_ex((sys.argv[1], 443))\n"
    "if code: print(errno.errorcode[code]); sys.exit()\n"
    "s.sendall(b'hello'); s.shutdown(socket.SHUT_WR)\n"
    "got = b''\n"
    "while True:\n"
    "  part = s.recv(100)\n"
    "  if not part: break\n"
    "  got += part\n"
    "print(got.decode())\n"
    "print([v for v in os.environ.values() if 'pass' in v])\n";

class ProxyLaneTest : public Sandbox {
 protected:
  Options Through(const std::string& url, const std::string& secret = "") {
    std::string yaml =
        "cellrun: 1\nname: proxied\ncommands: {default: allow}\nnetwork:\n  rules:\n"
        "    - {to: [git.example.com, 203.0.113.7], ports: [443], then: allow}\n"
        "    - {to: host, then: allow}\n"
        "  upstream-proxy: '" +
        url + "'\n";
    if (!secret.empty())
      yaml += "  proxy-secret: LOGIN\nsecrets: [{name: LOGIN, from: '" + secret + "'}]\n";
    return {.profile = WriteProfile(yaml), .environment = {{"PROXY_LOGIN", "user:passw0rd"}}};
  }
  Outcome Connect(const std::string& host, const Options& options) {
    return Run({"python3", "-c", kConnect, host}, options);
  }
};

TEST_F(ProxyLaneTest, HttpGetsTheNameThatWasJudged) {
  const std::string early = "early ";  // behind the answer at once: the program's
  HttpProxy proxy("HTTP/1.1 200 ok\r\n\r\n" + early);
  const Options options = Through("http://127.0.0.1:" + proxy.port());
  const Outcome outcome = Connect("git.example.com", options);
  EXPECT_EQ(outcome.out, "early hello\n[]\n") << outcome;
  EXPECT_THAT(proxy.Asked(), testing::StartsWith("CONNECT git.example.com:443 HTTP/1.1\r\n"));
  EXPECT_EQ(Connect("203.0.113.7", options).out, "early hello\n[]\n");
  EXPECT_THAT(proxy.Asked(), HasSubstr("CONNECT 203.0.113.7:443 HTTP/1.1\r\n"));
  const int before = proxy.accepted();
  EXPECT_THAT(Connect("evil.example.com", options).err, HasSubstr("gaierror"));
  EXPECT_EQ(Connect("203.0.113.8", options).out, "EACCES\n");
  EXPECT_EQ(proxy.accepted(), before) << "what is denied does not get as far as the proxy";
}

TEST_F(ProxyLaneTest, CredentialsReachTheProxyAndNobodyElse) {
  Write(Path("login"), "user:passw0rd\n");
  for (const std::string& from :
       {"env:PROXY_LOGIN"s, "file:" + Path("login"), "command:cat " + Path("login")}) {
    HttpProxy proxy("HTTP/1.1 200 ok\r\n\r\n");
    const Outcome outcome =
        Connect("git.example.com", Through("http://127.0.0.1:" + proxy.port(), from));
    EXPECT_EQ(outcome.out, "hello\n[]\n") << from << outcome;
    EXPECT_THAT(proxy.Asked(), HasSubstr("Proxy-Authorization: Basic dXNlcjpwYXNzdzByZA==\r\n"));
  }
  for (const json& record : History()) {
    EXPECT_THAT(record.dump(), Not(HasSubstr("passw0rd")));
    EXPECT_THAT(record.dump(), Not(HasSubstr("dXNlcjpwYXNzdzByZA")));
  }
}

TEST_F(ProxyLaneTest, WithoutItsSecretNothingLeaves) {
  HttpProxy proxy("HTTP/1.1 200 ok\r\n\r\n");
  const Outcome outcome =
      Connect("git.example.com", Through("http://127.0.0.1:" + proxy.port(), "env:NOT_THERE"));
  EXPECT_EQ(outcome.out, "EACCES\n") << outcome;
  EXPECT_EQ(proxy.accepted(), 0);
}

TEST_F(ProxyLaneTest, RefusalsAreHonest) {
  const std::pair<const char*, const char*> cases[] = {
      {"HTTP/1.1 403 no\r\n\r\n", "EACCES\n"},
      {"HTTP/1.1 407 who\r\n\r\n", "EACCES\n"},
      {"HTTP/1.1 502 bad\r\n\r\n", "EHOSTUNREACH\n"},
      {"HTTP/1.1 504 late\r\n\r\n", "ETIMEDOUT\n"},
      {"SSH-2.0-OpenSSH_9\r\n", "EHOSTUNREACH\n"}};
  for (const auto& [answer, code] : cases) {
    HttpProxy proxy(answer);
    EXPECT_EQ(Connect("git.example.com", Through("http://127.0.0.1:" + proxy.port())).out, code)
        << answer;
  }
  const ClosedPort closed;
  EXPECT_EQ(Connect("git.example.com", Through("http://127.0.0.1:" + closed.text())).out,
            "EHOSTUNREACH\n");
}

TEST_F(ProxyLaneTest, SocksGetsTheNameAndTheCredentials) {
  SocksProxy open(0, false), login(0, true), refusing(5, false);
  EXPECT_EQ(Connect("git.example.com", Through("socks5://127.0.0.1:" + open.port())).out,
            "hello\n[]\n");
  EXPECT_EQ(open.Asked(), "git.example.com:443");
  const Outcome outcome =
      Connect("git.example.com", Through("socks5://127.0.0.1:" + login.port(), "env:PROXY_LOGIN"));
  EXPECT_EQ(outcome.out, "hello\n[]\n") << outcome;
  EXPECT_EQ(login.Asked(), "user/passw0rd/git.example.com:443");
  EXPECT_EQ(Connect("git.example.com", Through("socks5://127.0.0.1:" + refusing.port())).out,
            "ECONNREFUSED\n");
}

TEST_F(ProxyLaneTest, ItsOwnLoopbackIsNotWhatANameLeadsTo) {
  HttpProxy proxy("HTTP/1.1 200 ok\r\n\r\n");
  const std::string profile = WriteProfile(
      "cellrun: 1\nname: all\ncommands: {default: allow}\nnetwork:\n"
      "  rules: [{to: '*', then: allow}]\n  upstream-proxy: 'http://127.0.0.1:" +
      proxy.port() + "'\n");
  // Libraries answer such names themselves: the cell's resolver is asked directly.
  const Outcome outcome = Run(
      {"python3", "-c",
       "import errno, socket, struct\n"
       "where = [l.split()[1] for l in open('/etc/resolv.conf') if l.startswith('nameserver')][0]\n"
       "for name in [b'x.localhost', b'git.example.com']:\n"
       "  s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(10)\n"
       "  labels = b''.join(bytes([len(l)]) + l for l in name.split(b'.'))\n"
       "  s.sendto(struct.pack('>6H', 7, 0x100, 1, 0, 0, 0) + labels + b'\\0\\0\\1\\0\\1', (where, "
       "53))\n"
       "  got = socket.inet_ntoa(s.recv(512)[-4:])\n"
       "  code = socket.socket().connect_ex((got, 443))\n"
       "  print(got.startswith('198.18.'), 'connected' if code == 0 else 'refused')\n"},
      {.profile = profile});
  EXPECT_EQ(outcome.out, "False refused\nTrue connected\n")
      << "a loopback name is the cell's own and has no address that leads out: " << outcome;
  EXPECT_THAT(proxy.Asked(), Not(HasSubstr("localhost")));
}

TEST_F(ProxyLaneTest, ThisMachineIsReachedWithoutIt) {
  HttpProxy proxy("HTTP/1.1 200 ok\r\n\r\n");
  const Server direct(Server::Say("direct\n"));
  const Outcome outcome = Shell("cat < /dev/tcp/host/" + direct.port_text(),
                                Through("http://127.0.0.1:" + proxy.port()));
  EXPECT_EQ(outcome.out, "direct\n") << outcome;
  EXPECT_EQ(proxy.accepted(), 0);
}

}  // namespace
}  // namespace cellrun::test
