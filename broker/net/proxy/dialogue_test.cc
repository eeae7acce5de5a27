// SPDX-License-Identifier: Apache-2.0
#include "broker/net/proxy/dialogue.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <utility>

namespace cellrun::net {
namespace {

using State = Dialogue::State;
using namespace std::string_literals;

std::unique_ptr<Dialogue> Begin(const char* url, const std::string& credentials = "",
                                const std::string& host = "git.example.com") {
  std::shared_ptr<Proxy> proxy = ParseProxy(url);
  EXPECT_NE(proxy, nullptr) << url;
  if (!credentials.empty()) {
    EXPECT_TRUE(SetCredentials(*proxy, credentials).ok());
  }
  return Dialogue::Make(proxy, host, 443);
}

// As a socket gives it: never more than is wanted. What is left of `bytes` is the program's.
std::string Feed(Dialogue& dialogue, std::string bytes) {
  while (!bytes.empty() && dialogue.state() == State::kTalks) {
    const std::size_t most = std::min(bytes.size(), dialogue.wants());
    dialogue.Feed(bytes.substr(0, most));
    bytes.erase(0, most);
  }
  return bytes;
}

int CodeAfter(const char* url, const std::string& bytes, const std::string& credentials = "") {
  const auto dialogue = Begin(url, credentials);
  Feed(*dialogue, bytes);
  return dialogue->state() == State::kFailed ? dialogue->code() : 0;
}

constexpr char kHttp[] = "http://proxy.example:3128";
constexpr char kSocks[] = "socks5://proxy.example:1080";

TEST(DialogueTest, HttpAsksForTheNameAndLeavesTheRestToTheProgram) {
  const auto dialogue = Begin(kHttp);
  EXPECT_EQ(dialogue->TakeOutput(),
            "CONNECT git.example.com:443 HTTP/1.1\r\nHost: git.example.com:443\r\n\r\n");
  EXPECT_EQ(Feed(*dialogue, "HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\nSSH-2.0"),
            "SSH-2.0");
  EXPECT_EQ(dialogue->state(), State::kOpen);
}

TEST(DialogueTest, HttpSendsCredentialsAndBracketsAddresses) {
  EXPECT_NE(Begin(kHttp, "user:pass")
                ->TakeOutput()
                .find("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n"),
            std::string::npos);
  EXPECT_NE(Begin(kHttp, "u:p")->TakeOutput().find("Basic dTpw\r\n"), std::string::npos);
  EXPECT_NE(Begin(kHttp, "u:pw")->TakeOutput().find("Basic dTpwdw==\r\n"), std::string::npos);
  EXPECT_NE(Begin(kHttp, "us:pw")->TakeOutput().find("Basic dXM6cHc=\r\n"), std::string::npos);
  EXPECT_TRUE(Begin(kHttp, "", "2001:db8::1")
                  ->TakeOutput()
                  .starts_with("CONNECT [2001:db8::1]:443 HTTP/1.1\r\n"));
}

TEST(DialogueTest, HttpRefusalsBecomeWhatConnectSays) {
  const std::pair<const char*, int> cases[] = {
      {"HTTP/1.1 403 Forbidden\r\n\r\n", EACCES},
      {"HTTP/1.1 407 Proxy Authentication Required\r\nA: b\r\n\r\n", EACCES},
      {"HTTP/1.0 504 x\r\n\r\n", ETIMEDOUT},
      {"HTTP/1.1 502 x\r\n\r\n", EHOSTUNREACH},
      {"HTTP/1.1 302 x\r\nLocation: y\r\n\r\n", EHOSTUNREACH}};
  for (const auto& [reply, code] : cases) EXPECT_EQ(CodeAfter(kHttp, reply), code) << reply;
}

TEST(DialogueTest, HttpTakesNothingThatReadersCouldTakeDifferently) {
  for (const std::string& reply :
       {"HTTP/1.1 200 ok\n\n"s, "HTTP/1.1 200 ok\r\r\n\r\n"s, "HTTP/1.1 200\tok\r\n\r\n"s,
        "HTTP/2 200 ok\r\n\r\n"s, "HTTP/1.1 0200 ok\r\n\r\n"s, "HTTP/1.1 20 ok\r\n\r\n"s,
        "HTTP/1.1 100 go on\r\n\r\nHTTP/1.1 200 ok\r\n\r\n"s, "HTTP/1.1 2000 ok\r\n\r\n"s,
        "HTTP/1.1 200 o\0k\r\n\r\n"s, "HTTP/1.1 200 ok\r\nno colon\r\n\r\n"s, "\r\n"s,
        "HTTP/1.1 200 ok\r\nA: b\r\n folded: c\r\n\r\n"s, "HTTP/1.1 200 ok\r\nA : b\r\n\r\n"s,
        "HTTP/1.1 200 ok\r\n: b\r\n\r\n"s, "SSH-2.0-OpenSSH\r\n"s,
        "HTTP/1.1 200 ok\r\nA: b\nB: c\r\n\r\n"s}) {
    EXPECT_EQ(CodeAfter(kHttp, reply), EHOSTUNREACH) << reply;
  }
  EXPECT_EQ(CodeAfter(kHttp, "HTTP/1.1 200 ok\r\nA: " + std::string(9000, 'x')), EHOSTUNREACH);
}

TEST(DialogueTest, SocksAsksForTheNameAndLeavesTheRestToTheProgram) {
  const auto dialogue = Begin(kSocks);
  EXPECT_EQ(dialogue->TakeOutput(), "\x05\x01\x00"s);
  Feed(*dialogue, "\x05\x00"s);
  EXPECT_EQ(dialogue->TakeOutput(), "\x05\x01\x00\x03\x0fgit.example.com\x01\xbb"s);
  EXPECT_EQ(Feed(*dialogue, "\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34rest"s), "rest");
  EXPECT_EQ(dialogue->state(), State::kOpen);
}

TEST(DialogueTest, SocksTakesAnswersOfEachForm) {
  for (const std::string& bound :
       {"\x01"s + std::string(6, 'a'), "\x04"s + std::string(18, 'a'),
        "\x03\x03"s + std::string(5, 'a'), "\x03\x00"s + std::string(2, 'a')}) {
    const auto dialogue = Begin(kSocks);
    EXPECT_EQ(Feed(*dialogue, "\x05\x00\x05\x00\x00"s + bound + "x"), "x");
    EXPECT_EQ(dialogue->state(), State::kOpen);
  }
}

TEST(DialogueTest, SocksSendsCredentialsOnlyWhereItIsAsked) {
  const auto dialogue = Begin(kSocks, "user:pa:ss");
  EXPECT_EQ(dialogue->TakeOutput(), "\x05\x02\x00\x02"s);
  Feed(*dialogue, "\x05\x02"s);
  EXPECT_EQ(dialogue->TakeOutput(), "\x01\x04user\x05pa:ss"s);
  Feed(*dialogue, "\x01\x00"s);
  EXPECT_TRUE(dialogue->TakeOutput().starts_with("\x05\x01\x00\x03"s));
  EXPECT_EQ(CodeAfter(kSocks, "\x05\x02\x01\x01"s, "user:wrong"), EACCES);
  EXPECT_EQ(CodeAfter(kSocks, "\x05\x02"s), EACCES) << "there is nothing to say";
  EXPECT_EQ(CodeAfter(kSocks, "\x05\xff"s), EACCES);
}

TEST(DialogueTest, SocksRefusalsBecomeWhatConnectSays) {
  const std::pair<char, int> cases[] = {{1, EHOSTUNREACH}, {2, EACCES},           {3, ENETUNREACH},
                                        {4, EHOSTUNREACH}, {5, ECONNREFUSED},     {6, ETIMEDOUT},
                                        {9, EHOSTUNREACH}, {'\xff', EHOSTUNREACH}};
  for (const auto& [reply, code] : cases) {
    EXPECT_EQ(CodeAfter(kSocks, "\x05\x00\x05"s + reply + "\x00\x01"s), code) << int{reply};
  }
  for (const std::string& bad : {"\x04\x00"s, "HTTP"s, "\x05\x00\x04\x00\x00\x01"s,
                                 "\x05\x00\x05\x00\x01\x01"s, "\x05\x00\x05\x00\x00\x02"s}) {
    EXPECT_EQ(CodeAfter(kSocks, bad), EHOSTUNREACH) << bad;
  }
}

TEST(DialogueTest, MoreThanWasWantedIsNoAnswer) {
  const auto dialogue = Begin(kSocks);
  dialogue->Feed("\x05\x00\x05"s);
  EXPECT_EQ(dialogue->state(), State::kFailed);
}

TEST(ProxyTest, ReadsUrlsAndNothingElse) {
  EXPECT_EQ(ParseProxy("http://10.0.0.1:3128/")->host, "10.0.0.1");
  EXPECT_EQ(ParseProxy("socks5://[::1]:1080")->host, "::1");
  EXPECT_EQ(ParseProxy("http://host:8080")->host, "host");
  EXPECT_EQ(ParseProxy("socks5://proxy.example:1")->port, 1);
  for (const char* url : {"https://a:1", "ftp://a:1", "http://a", "http://*:1", "http://a:1-2",
                          "http://10.0.0.0/8:1", "a:1", "http://u@a:1", "http://@x:1"}) {
    EXPECT_EQ(ParseProxy(url), nullptr) << url;
  }
}

TEST(ProxyTest, CredentialsAreOneLineOfTwoParts) {
  Proxy proxy;
  for (const std::string& bad : {"user"s, ":x"s, "a:b\r\nX: y"s, "a:\0"s,
                                 std::string(256, 'u') + ":p", "u:" + std::string(256, 'p')}) {
    const Result<void> set = SetCredentials(proxy, bad);
    EXPECT_FALSE(set.ok());
    EXPECT_EQ(set.error().ToString().find(bad.substr(0, 3)), std::string::npos);
  }
  EXPECT_TRUE(SetCredentials(proxy, "user:").ok());
}

}  // namespace
}  // namespace cellrun::net
