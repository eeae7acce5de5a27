// SPDX-License-Identifier: Apache-2.0
#include "broker/journal/redact.h"

#include <gtest/gtest.h>
#include <time.h>

#include <chrono>

namespace cellrun::journal {
namespace {

using Argv = std::vector<std::string>;

struct Case {
  Argv given, kept;
};

// "#" stands for the replacement.
Argv Expand(Argv argv) {
  for (std::string& argument : argv) {
    for (std::size_t at = argument.find('#'); at != std::string::npos; at = argument.find('#')) {
      argument.replace(at, 1, kRedacted);
    }
  }
  return argv;
}

TEST(RedactTest, HidesWhatLooksLikeASecret) {
  const std::vector<Case> cases = {
      {{"x", "--password", "hunter2"}, {"x", "--password", "#"}},
      {{"x", "--password=hunter2"}, {"x", "--password=#"}},
      {{"x", "--token=hunter2", "https://example.com/"},
       {"x", "--token=#", "https://example.com/"}},
      {{"x", "-password", "hunter2"}, {"x", "-password", "#"}},
      {{"x", "--db-passwd", "hunter2", "y"}, {"x", "--db-passwd", "#", "y"}},
      {{"x", "--api-key=k1", "--apiKey", "k2"}, {"x", "--api-key=#", "--apiKey", "#"}},
      {{"x", "--api_key", "-starts-with-a-dash"}, {"x", "--api_key", "#"}},
      {{"gh", "--with-token", "ghp_1"}, {"gh", "--with-token", "#"}},
      {{"x", "--client-secret", "s"}, {"x", "--client-secret", "#"}},
      {{"env", "FOO_TOKEN=abc", "make"}, {"env", "FOO_TOKEN=#", "make"}},
      {{"env", "AWS_SECRET_ACCESS_KEY=a/b=c"}, {"env", "AWS_SECRET_ACCESS_KEY=#"}},
      {{"docker", "run", "-e", "PGPASSWORD=x"}, {"docker", "run", "-e", "PGPASSWORD=#"}},
      {{"docker", "run", "--env=PGPASSWORD=x y"}, {"docker", "run", "--env=PGPASSWORD=#"}},
      {{"x", "--password=correct horse"}, {"x", "--password=#"}},
      {{"git", "clone", "https://u:p@host/r.git"}, {"git", "clone", "https://#@host/r.git"}},
      {{"git", "clone", "https://ghp_tok@host/r"}, {"git", "clone", "https://#@host/r"}},
      {{"x", "https://u:p@q@host/"}, {"x", "https://#@host/"}},
      {{"x", "ssh://git:pw@host/r"}, {"x", "ssh://#@host/r"}},
      {{"curl", "https://h/?a=1&access_token=t&b=2"},
       {"curl", "https://h/?a=1&access_token=#&b=2"}},
      {{"curl", "-H", "Authorization: Bearer abc"}, {"curl", "-H", "Authorization: #"}},
      {{"curl", "-HAuthorization: Basic abc=="}, {"curl", "-HAuthorization: #"}},
      {{"curl", "-H", "x-api-key:abc"}, {"curl", "-H", "x-api-key:#"}},
      {{"curl", "-H", "Cookie: session=1; b=2"}, {"curl", "-H", "Cookie: #"}},
      {{"/usr/bin/curl", "-u", "me:pw", "h"}, {"/usr/bin/curl", "-u", "me:#", "h"}},
      {{"curl", "-ume:pw"}, {"curl", "-ume:#"}},
      {{"sshpass", "-p", "pw", "ssh", "h"}, {"sshpass", "-p", "#", "ssh", "h"}},
      {{"sshpass", "-ppw"}, {"sshpass", "-p#"}},
      {{"openssl", "rsa", "-passin", "pass:pw"}, {"openssl", "rsa", "-passin", "#"}},
      {{"sh", "-c", "curl -H 'Authorization: Bearer a b' https://u:p@h"},
       {"sh", "-c", "curl -H 'Authorization: #' https://#@h"}},
      {{"sh", "-c", "PASSWORD='a b' x --token abc && y"},
       {"sh", "-c", "PASSWORD='#' x --token # && y"}},
  };
  for (const Case& c : cases) {
    Argv argv = c.given;
    EXPECT_TRUE(Redact(argv)) << ::testing::PrintToString(c.given);
    EXPECT_EQ(argv, Expand(c.kept));
  }
}

TEST(RedactTest, LeavesOrdinaryArgumentsAlone) {
  const std::vector<Argv> cases = {
      {},
      {"token"},
      {"gcc", "-O2", "-o", "x", "x.c"},
      {"ssh", "-p", "22", "git@host"},
      {"git", "clone", "ssh://git@host/r.git"},
      {"git", "clone", "git@host:r.git"},
      {"x", "--password-file", "/run/secrets/p"},
      {"docker", "login", "--password-stdin", "host"},
      {"sh", "-c", "cd \"$PWD\" && PWD=/tmp pwd"},
      {"curl", "https://host/a@b?x=1"},
      {"x", "--password"},
      {"x", "--password", "--verbose"},
      {"x", "a=b", "C:\\x"},
      {"mkdir", "-p", "a/b"},
  };
  for (const Argv& given : cases) {
    Argv argv = given;
    EXPECT_FALSE(Redact(argv)) << ::testing::PrintToString(argv);
    EXPECT_EQ(argv, given);
  }
}

// Of this thread's own work: the machine may be busy.
std::chrono::nanoseconds TimeToRedact(std::string_view piece, std::size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += piece;
  Argv argv = {"x", text};
  timespec start{}, end{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
  Redact(argv);
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
  return std::chrono::seconds(end.tv_sec - start.tv_sec) +
         std::chrono::nanoseconds(end.tv_nsec - start.tv_nsec);
}

TEST(RedactTest, TakesLinearTimeOnHostileArguments) {
  for (const char* piece : {"://", "=", "a=", "token:", "-token ", "://@", "token='", "?token=&"}) {
    // Sixteen times as much may take sixteen times as long, not 256 times.
    const auto small = TimeToRedact(piece, 8 * 1024) + std::chrono::microseconds(50);
    EXPECT_LT(TimeToRedact(piece, 128 * 1024), 64 * small) << piece;
  }
}

}  // namespace
}  // namespace cellrun::journal
