// SPDX-License-Identifier: Apache-2.0
#include "broker/http/server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "lib/sys/file.h"
#include "lib/sys/socket.h"
#include "tests/support/required.h"
#include "tests/support/result_matchers.h"

namespace cellrun::http {
namespace {

using std::chrono::milliseconds;
using test::IsOk;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A connection that sends what it is told and reads what comes.
class Client {
 public:
  explicit Client(const std::string& path) : socket_(sys::UnixSocket(SOCK_STREAM).value()) {
    EXPECT_THAT(sys::ConnectUnix(socket_, path), IsOk());
  }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return;  // the server has had enough
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  // Until `text` has come; what came.
  std::string ReadUntil(const std::string& text) {
    while (got_.find(text) == std::string::npos && ReadMore()) {
    }
    return got_;
  }
  // Until the server closed.
  std::string ReadAll() {
    while (ReadMore()) {
    }
    return got_;
  }
  std::string Ask(const std::string& bytes) {
    Send(bytes);
    return ReadAll();
  }
  void Forget() { got_.clear(); }
  void Close() { socket_.Reset(); }
  void HalfClose() { shutdown(socket_.get(), SHUT_WR); }
  [[nodiscard]] const UniqueFd& socket() const { return socket_; }

 private:
  bool ReadMore() {
    pollfd wait{.fd = socket_.get(), .events = POLLIN, .revents = 0};
    EXPECT_EQ(poll(&wait, 1, 20'000), 1) << "nothing came after: " << got_;
    char buffer[4096];
    const ssize_t count = recv(socket_.get(), buffer, sizeof buffer, 0);
    if (count <= 0) return false;
    got_.append(buffer, static_cast<std::size_t>(count));
    return true;
  }
  UniqueFd socket_;
  std::string got_;
};

// Counts to a limit, or goes on until its reader leaves.
class Counter : public ChunkSource {
 public:
  Counter(int limit, std::atomic<int>& alive) : limit_(limit), alive_(alive) { ++alive_; }
  ~Counter() override { --alive_; }
  void Next(std::function<void(std::optional<std::string>)> done) override {
    if (limit_ == 0) return done(std::nullopt);
    if (limit_ > 0) --limit_;
    done(std::to_string(++count_) + "\n");
  }

 private:
  int limit_;
  int count_ = 0;
  std::atomic<int>& alive_;
};

// Says one thing, then waits for ever.
class Silent : public ChunkSource {
 public:
  explicit Silent(std::atomic<int>& alive) : alive_(alive) { ++alive_; }
  ~Silent() override { --alive_; }
  void Next(std::function<void(std::optional<std::string>)> done) override {
    if (!said_) done("first\n");
    said_ = true;
  }

 private:
  bool said_ = false;
  std::atomic<int>& alive_;
};

class ServerTest : public ::testing::Test {
 protected:
  void Start(ServerOptions options = {}) {
    std::string pattern = ::testing::TempDir() + "/http-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    path_ = directory_ + "/api.sock";
    UniqueFd listener = sys::UnixSocket(SOCK_STREAM).value();
    ASSERT_THAT(sys::BindUnix(listener, path_), IsOk());
    ASSERT_THAT(sys::Listen(listener, 64), IsOk());
    server_ = Server::Start(loop_, std::move(listener), Routes(), std::move(options)).value();
    thread_ = std::thread([this] { loop_.Run(); });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    loop_.Post([this] {
      server_.reset();
      loop_.Stop();
    });
    thread_.join();
    std::filesystem::remove_all(directory_);
  }
  Router Routes() {
    Router router;
    router.Add("GET", "/hello", [](const Request& request) {
      return Response{.body = "hello " + request.Query("name").value_or("nobody")};
    });
    router.Add("POST", "/echo/:word", [](const Request& request) {
      return Response{.body = request.Parameter("word") + ":" + request.body};
    });
    router.Add("GET", "/peer", [](const Request& request) {
      return Response{.body = std::to_string(request.peer.pid)};
    });
    router.Add("GET", "/throws", [](const Request&) -> Response { throw std::runtime_error("x"); });
    router.AddAsync("GET", "/forgets", [](const Request&, const Responder&) {});
    router.AddAsync("GET", "/later", [](const Request&, const Responder& responder) {
      std::thread([responder] {
        responder.Send({.body = "once"});
        responder.Send({.body = "twice"});
      }).detach();
    });
    router.AddAsync("GET", "/count", [this](const Request& request, const Responder& responder) {
      const int limit = std::stoi(request.Query("to").value_or("-1"));
      responder.Stream({}, std::make_shared<Counter>(limit, alive_));
    });
    router.AddAsync("GET", "/silent", [this](const Request&, const Responder& responder) {
      responder.Stream({}, std::make_shared<Silent>(alive_));
    });
    return router;
  }
  std::string Ask(const std::string& bytes) { return Client(path_).Ask(bytes); }
  std::string Get(const std::string& target) {
    return Ask("GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }
  // Whether `condition`, asked on the loop, comes true.
  bool Eventually(const std::function<bool()>& condition) {
    for (int i = 0; i < 2000; ++i) {
      std::atomic<int> answer = -1;
      loop_.Post([&] { answer = condition() ? 1 : 0; });
      while (answer == -1) std::this_thread::yield();
      if (answer == 1) return true;
      std::this_thread::sleep_for(milliseconds(5));
    }
    return false;
  }

  loop::Loop loop_;
  std::string directory_, path_;
  std::unique_ptr<Server> server_;
  std::thread thread_;
  std::atomic<int> alive_ = 0;
};

TEST_F(ServerTest, AnswersWithALength) {
  Start();
  const std::string answer = Get("/hello?name=a%20b");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 9\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\nhello a b"));
}

TEST_F(ServerTest, ServesSeveralRequestsOnOneConnection) {
  Start();
  Client client(path_);
  for (int i = 0; i < 3; ++i) {
    client.Send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(client.ReadUntil("nobody"), StartsWith("HTTP/1.1 200"));
    client.Forget();
  }
  // Sent ahead, with a body between.
  client.Send(
      "POST /echo/a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nGETGET /hello HTTP/1.1\r\n"
      "Host: x\r\nConnection: close\r\n\r\n");
  const std::string answers = client.ReadAll();
  EXPECT_THAT(answers, HasSubstr("a:GET"));
  EXPECT_THAT(answers, HasSubstr("hello nobody"));
}

TEST_F(ServerTest, TakesARequestByteByByte) {
  Start();
  Client client(path_);
  for (const char c : std::string("POST /echo/b HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
                                  "Connection: close\r\n\r\nhi")) {
    client.Send(std::string(1, c));
  }
  EXPECT_THAT(client.ReadAll(), HasSubstr("b:hi"));
}

TEST_F(ServerTest, SaysWhatItDoesNotServe) {
  Start();
  EXPECT_THAT(Get("/nothing"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(Get("/echo/x"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(Get("/echo/x"), HasSubstr("{\"error\":{\"what\":"));
  EXPECT_THAT(Get("/a/../hello"), StartsWith("HTTP/1.1 400"));
}

TEST_F(ServerTest, SurvivesHandlersThatFailOrForget) {
  Start();
  EXPECT_THAT(Get("/throws"), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(Get("/forgets"), StartsWith("HTTP/1.1 500"));
  EXPECT_THAT(Get("/later"), HasSubstr("once"));
  EXPECT_THAT(Get("/hello"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, RefusesGarbageAndCloses) {
  Start();
  EXPECT_THAT(Ask("\x16\x03\x01 this is no HTTP\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("GET /hello\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("POST /echo/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("POST /echo/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
              StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(Ask("GET /hello HTTP/1.1\r\nX: a\r\n b\r\n\r\n"), StartsWith("HTTP/1.1 400"));
}

TEST_F(ServerTest, WhatFollowsARefusedRequestIsNotServed) {
  Start();
  const std::string answer =
      Ask("POST /echo/x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
          "0\r\n\r\nGET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(answer.find("hello"), std::string::npos);
}

TEST_F(ServerTest, RefusesHugeHeadsAndBodies) {
  Start();
  EXPECT_THAT(Ask("GET /hello HTTP/1.1\r\nX: " + std::string(20'000, 'a')),
              StartsWith("HTTP/1.1 431"));
  EXPECT_THAT(Ask("POST /echo/x HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n"),
              StartsWith("HTTP/1.1 413"));
  const std::string body((1 << 20), 'b');
  EXPECT_THAT(
      Ask("POST /echo/x HTTP/1.1\r\nConnection: close\r\nContent-Length: 1048576\r\n\r\n" + body),
      HasSubstr("x:" + body));
}

TEST_F(ServerTest, HalfRequestsLeaveNothingBehind) {
  Start();
  for (const char* half : {"", "GET", "GET /hello HTTP/1.1\r\nHost: x\r\n",
                           "POST /echo/x HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"}) {
    Client client(path_);
    client.Send(half);
    client.Close();
  }
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
  EXPECT_THAT(Get("/hello"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, SlowSendersAreEnded) {
  Start({.idle = milliseconds(400), .receive = milliseconds(100)});
  Client head(path_);
  head.Send("GET /hello HTTP/1.1\r\n");
  Client body(path_);
  body.Send("POST /echo/x HTTP/1.1\r\nContent-Length: 5\r\n\r\nab");
  Client idle(path_);
  EXPECT_THAT(head.ReadAll(), StartsWith("HTTP/1.1 408"));
  EXPECT_THAT(body.ReadAll(), StartsWith("HTTP/1.1 408"));
  EXPECT_EQ(idle.ReadAll(), "");
}

TEST_F(ServerTest, TrickledBytesDoNotExtendTheLimit) {
  Start({.receive = milliseconds(200)});
  Client client(path_);
  client.Send("GET /hello HTTP/1.1\r\n");
  const auto start = std::chrono::steady_clock::now();
  std::thread trickle([&] {
    for (int i = 0; i < 100; ++i) {
      client.Send("X: y\r\n");
      std::this_thread::sleep_for(milliseconds(20));
    }
  });
  EXPECT_THAT(client.ReadAll(), StartsWith("HTTP/1.1 408"));
  EXPECT_LT(std::chrono::steady_clock::now() - start, milliseconds(1500));
  trickle.join();
}

TEST_F(ServerTest, ReadersThatDoNotReadAreEnded) {
  Start({.send = milliseconds(200)});
  Client client(path_);
  const std::string body(1 << 20, 'b');
  client.Send("POST /echo/x HTTP/1.1\r\nContent-Length: 1048576\r\n\r\n" + body);
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
}

TEST_F(ServerTest, RefusesTooManyConnectionsAndRecovers) {
  Start({.max_connections = 4});
  {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < 4; ++i) clients.push_back(std::make_unique<Client>(path_));
    EXPECT_TRUE(Eventually([this] { return server_->connections() == 4; }));
    EXPECT_THAT(Client(path_).ReadAll(), StartsWith("HTTP/1.1 503"));
  }
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
  EXPECT_THAT(Get("/hello"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, StreamsInChunks) {
  Start();
  const std::string answer = Get("/count?to=3");
  EXPECT_THAT(answer, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(answer, HasSubstr("\r\n\r\n2\r\n1\n\r\n2\r\n2\n\r\n2\r\n3\n\r\n0\r\n\r\n"));
  EXPECT_EQ(alive_, 0);
}

TEST_F(ServerTest, AnOldClientGetsAStreamThatEndsWithTheConnection) {
  Start();
  const std::string answer = Ask("GET /count?to=2 HTTP/1.0\r\n\r\n");
  EXPECT_EQ(answer.find("chunked"), std::string::npos);
  EXPECT_THAT(answer, HasSubstr("\r\n\r\n1\n2\n"));
}

TEST_F(ServerTest, AConnectionGoesOnAfterAStream) {
  Start();
  Client client(path_);
  client.Send("GET /count?to=1 HTTP/1.1\r\nHost: x\r\n\r\n");
  client.ReadUntil("0\r\n\r\n");
  client.Forget();
  client.Send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("nobody"), StartsWith("HTTP/1.1 200"));
}

TEST_F(ServerTest, AStreamEndsWhenItsReaderLeaves) {
  Start();
  Client waiting(path_);
  waiting.Send("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n");
  waiting.ReadUntil("first");
  Client endless(path_);
  endless.Send("GET /count HTTP/1.1\r\nHost: x\r\n\r\n");
  endless.ReadUntil("100\n");
  EXPECT_EQ(alive_, 2);
  waiting.Close();
  endless.Close();
  EXPECT_TRUE(Eventually([this] { return alive_ == 0 && server_->connections() == 0; }));
}

TEST_F(ServerTest, AStreamReachesAReaderThatOnlyHalfClosed) {
  Start();
  Client client(path_);
  client.Send("GET /count?to=3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  client.HalfClose();
  EXPECT_THAT(client.ReadAll(), HasSubstr("3\n\r\n0\r\n\r\n"));
}

TEST_F(ServerTest, ASlowReaderDoesNotPileUpMemory) {
  Start();
  Client client(path_);
  client.Send("GET /count HTTP/1.1\r\nHost: x\r\n\r\n");
  client.ReadUntil("10\n");
  // The socket's buffers fill, then the source is asked no more; others are served meanwhile.
  for (int i = 0; i < 20; ++i) EXPECT_THAT(Get("/hello"), StartsWith("HTTP/1.1 200"));
  EXPECT_EQ(alive_, 1);
}

TEST_F(ServerTest, EndsStreamsWhenItIsDestroyed) {
  Start();
  Client client(path_);
  client.Send("GET /silent HTTP/1.1\r\nHost: x\r\n\r\n");
  client.ReadUntil("first");
  loop_.Post([this] { server_.reset(); });
  client.ReadAll();
  EXPECT_TRUE(Eventually([this] { return alive_ == 0; }));
}

TEST_F(ServerTest, RefusesAPeerThatTheCheckRefuses) {
  Start(
      {.check_peer = [](const UniqueFd&) -> Result<Peer> { return Error(EPERM, "check", "no"); }});
  EXPECT_THAT(Client(path_).ReadAll(), StartsWith("HTTP/1.1 403"));
  EXPECT_TRUE(Eventually([this] { return server_->connections() == 0; }));
}

TEST_F(ServerTest, KnowsItsPeer) {
  Start();
  EXPECT_THAT(Get("/peer"), HasSubstr("\r\n\r\n" + std::to_string(getpid())));
}

}  // namespace
}  // namespace cellrun::http
