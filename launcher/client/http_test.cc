// SPDX-License-Identifier: Apache-2.0
#include "launcher/client/http.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <thread>

#include "launcher/client/http_response.h"
#include "lib/sys/socket.h"
#include "tests/support/result_matchers.h"

namespace cellrun::client {
namespace {

using test::FailsWith;
using test::IsOk;
using ::testing::ElementsAre;

struct Parsed {
  Result<void> result;
  int status = 0;
  std::string body;
  bool done = false;
};

// The response in pieces of `step` bytes, then the end of the connection.
Parsed Parse(const std::string& text, std::size_t step) {
  ResponseParser parser;
  Parsed parsed;
  for (std::size_t at = 0; at < text.size() && parsed.result.ok(); at += step) {
    parsed.result = parser.Put(std::string_view(text).substr(at, step), parsed.body);
  }
  if (parsed.result.ok()) parsed.result = parser.End();
  parsed.status = parser.status();
  parsed.done = parser.done();
  return parsed;
}

constexpr const char* kChunked =
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n";

TEST(ResponseParserTest, ReadsEveryFormOfBodyHoweverItArrives) {
  for (const std::size_t step : {1U, 2U, 3U, 7U, 1000U}) {
    EXPECT_EQ(Parse(kChunked, step).body, "abc0123456789") << step;
    EXPECT_TRUE(Parse(kChunked, step).done);
    const std::string with_length = "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\n\r\nabc";
    EXPECT_EQ(Parse(with_length, step).body, "abc");
    EXPECT_EQ(Parse(with_length, step).status, 404);
    EXPECT_EQ(Parse("HTTP/1.1 200 OK\r\n\r\nto the end", step).body, "to the end");
    EXPECT_TRUE(Parse("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", step).done);
  }
}

TEST(ResponseParserTest, RefusesWhatIsNoResponse) {
  for (const char* text : {"SSH-2.0-x\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 xx\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n"}) {
    EXPECT_THAT(Parse(text, 1000).result, FailsWith(EPROTO)) << text;
  }
  EXPECT_THAT(Parse(std::string(20'000, 'x'), 1000).result, FailsWith(EPROTO));
}

TEST(ResponseParserTest, NoticesACutResponse) {
  const std::string text = kChunked;
  for (std::size_t length = 1; length < text.size(); ++length) {
    EXPECT_THAT(Parse(text.substr(0, length), 1000).result, FailsWith(ECONNRESET)) << length;
  }
}

TEST(LineSplitterTest, CutsLinesAndStops) {
  LineSplitter lines(10);
  std::vector<std::string> seen;
  const auto take = [&](std::string_view line) {
    seen.emplace_back(line);
    return line != "stop";
  };
  EXPECT_TRUE(lines.Put("a\nb", take));
  EXPECT_TRUE(lines.Put("c\n\nd", take));
  lines.End(take);
  EXPECT_THAT(seen, ElementsAre("a", "bc", "", "d"));
  EXPECT_FALSE(LineSplitter(10).Put("stop\nmore\n", take));
  EXPECT_EQ(seen.back(), "stop");
  LineSplitter narrow(4);
  EXPECT_FALSE(narrow.Put("too long", take));
  EXPECT_TRUE(narrow.overflowed());
}

TEST(TargetTest, EncodesWhatHasAMeaning) {
  EXPECT_EQ(Target("/v1/records", {}), "/v1/records");
  EXPECT_EQ(Target("/x", {{"a", "b c&d=e?%/ü"}, {"e", ""}}), "/x?a=b%20c%26d%3De%3F%25/%C3%BC&e=");
}

TEST(CallTest, SaysThatNobodyServes) {
  std::string pattern = ::testing::TempDir() + "/client-XXXXXX";
  const std::string directory = mkdtemp(pattern.data());
  EXPECT_THAT(Call(directory + "/api.sock", {.target = "/"}), FailsWith(ENOENT));
  const UniqueFd left = sys::UnixSocket(SOCK_STREAM).value();
  ASSERT_THAT(sys::BindUnix(left, directory + "/api.sock"), IsOk());
  EXPECT_THAT(Call(directory + "/api.sock", {.target = "/"}), FailsWith(ECONNREFUSED));
  unlink((directory + "/api.sock").c_str());
  rmdir(directory.c_str());
}

TEST(CallTest, GivesUpOnAServerThatSaysNothing) {
  std::string pattern = ::testing::TempDir() + "/client-XXXXXX";
  const std::string directory = mkdtemp(pattern.data());
  const UniqueFd listener = sys::UnixSocket(SOCK_STREAM).value();
  ASSERT_THAT(sys::BindUnix(listener, directory + "/api.sock"), IsOk());
  ASSERT_THAT(sys::Listen(listener, 1), IsOk());
  const HttpRequest request{.target = "/", .timeout = std::chrono::milliseconds(50)};
  EXPECT_THAT(Call(directory + "/api.sock", request), FailsWith(ETIMEDOUT));
  unlink((directory + "/api.sock").c_str());
  rmdir(directory.c_str());
}

}  // namespace
}  // namespace cellrun::client
