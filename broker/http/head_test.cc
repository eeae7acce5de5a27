// SPDX-License-Identifier: Apache-2.0
#include "broker/http/head.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cellrun::http {
namespace {

using ::testing::HasSubstr;

TEST(HeadProblemTest, AcceptsWhatClientsSend) {
  for (const char* head : {
           "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET /v1/records?cell=a&follow=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n",
           "POST /v1/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
           "POST /x HTTP/1.1\r\ncontent-length:\t5 \r\nX:\r\n\r\n",
           "GET / HTTP/1.0\r\n\r\n",
       }) {
    EXPECT_EQ(HeadProblem(head), std::nullopt) << head;
  }
}

struct Refused {
  const char* head;
  const char* because;
};

TEST(HeadProblemTest, RefusesWhatParsersReadDifferently) {
  const std::vector<Refused> cases = {
      {"GET / HTTP/1.1\r\nHost: x\r\n", "not complete"},
      {"GET / HTTP/1.1\nHost: x\r\n\r\n", "control"},
      {"GET / HTTP/1.1\r\nHost: x\n\r\n\r\n", "control"},
      {"GET / HTTP/1.1\r\nHost: x\rY: z\r\n\r\n", "control"},
      {"GET / HTTP/1.1\r\nX: a\x01\r\n\r\n", "control"},
      {"GET / HTTP/1.1\r\nX: \xc3\xbc\r\n\r\n", "control"},
      {"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n", "folded"},
      {"GET / HTTP/1.1\r\n\tb\r\n\r\n", "folded"},
      {"GET / HTTP/1.1\r\nContent-Length : 5\r\n\r\n", "malformed"},
      {"GET / HTTP/1.1\r\n: 5\r\n\r\n", "malformed"},
      {"GET / HTTP/1.1\r\nno colon\r\n\r\n", "malformed"},
      {"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "twice"},
      {"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n", "malformed"},
      {"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\n", "malformed"},
      {"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "malformed"},
      {"POST / HTTP/1.1\r\nContent-Length: 0x5\r\n\r\n", "malformed"},
      {"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", "malformed"},
      {"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", "malformed"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"},
      {"POST / HTTP/1.1\r\nTRANSFER-ENCODING: gzip\r\nContent-Length: 5\r\n\r\n", "Transfer"},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "Transfer-Encoding"},
      {"POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n", "Transfer-Encoding"},
      {"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "twice"},
      {"GET / HTTP/1.1\r\nExpect: 100-continue\r\n\r\n", "Expect"},
      {"GET / HTTP/2.0\r\n\r\n", "HTTP/1.1"},
      {"GET / HTTP/0.9\r\n\r\n", "HTTP/1.1"},
      {"GET / http/1.1\r\n\r\n", "HTTP/1.1"},
      {"GET /\r\n\r\n", "request line"},
      {"GET  / HTTP/1.1\r\n\r\n", "target"},
      {"GET / x HTTP/1.1\r\n\r\n", "target"},
      {"GET http://x/ HTTP/1.1\r\n\r\n", "target"},
      {"OPTIONS * HTTP/1.1\r\n\r\n", "target"},
      {"G(T / HTTP/1.1\r\n\r\n", "method"},
      {"\r\n\r\n", "control"},
      {"\r\nGET / HTTP/1.1\r\n\r\n", "control"},
  };
  for (const Refused& c : cases) {
    const auto problem = HeadProblem(c.head);
    ASSERT_TRUE(problem.has_value()) << c.head;
    EXPECT_THAT(*problem, HasSubstr(c.because)) << c.head;
  }
}

TEST(HeadProblemTest, RefusesTooManyFieldsAndTooLongTargets) {
  std::string head = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 65; ++i) head += "X: y\r\n";
  EXPECT_TRUE(HeadProblem(head + "\r\n").has_value());
  EXPECT_TRUE(HeadProblem("GET /" + std::string(8192, 'a') + " HTTP/1.1\r\n\r\n").has_value());
}

TEST(HeadProblemTest, RefusesANulByte) {
  EXPECT_TRUE(HeadProblem(std::string_view("GET / HTTP/1.1\r\nX: \0\r\n\r\n", 24)).has_value());
}

TEST(ParseTargetTest, SplitsAndDecodes) {
  const auto target = ParseTarget("/v1/re%63ords?a=%20b%3D&c&=x&d=1+1&a=2");
  ASSERT_TRUE(target.has_value());
  EXPECT_EQ(target->path, "/v1/records");
  using Pair = std::pair<std::string, std::string>;
  EXPECT_THAT(target->query, ::testing::ElementsAre(Pair("a", " b="), Pair("c", ""),
                                                    Pair("d", "1+1"), Pair("a", "2")));
  EXPECT_EQ(ParseTarget("/")->path, "/");
}

TEST(ParseTargetTest, RefusesWhatCouldBeReadInTwoWays) {
  for (const char* target : {"", "x", "//", "/a//b", "/a/../b", "/a/%2e%2e/b", "/./a", "/a%2Fb",
                             "/a%", "/a%4", "/a%zz", "/a%00", "/a?b=%00", "/a?%f"}) {
    EXPECT_FALSE(ParseTarget(target).has_value()) << target;
  }
}

}  // namespace
}  // namespace cellrun::http
