// SPDX-License-Identifier: Apache-2.0
#include "tests/watch/fake_broker.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <sstream>

namespace cellrun::test {
namespace {

using nlohmann::json;

void SendAll(int connection, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;  // the reader has gone
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

std::string Chunk(const std::string& bytes) {
  std::ostringstream size;
  size << std::hex << bytes.size();
  return size.str() + "\r\n" + bytes + "\r\n";
}

// Head and body, or "" where the connection ended first.
std::string ReadRequest(int connection) {
  std::string request;
  std::array<char, 4096> buffer;
  std::size_t whole = std::string::npos;
  while (request.size() < whole) {
    const ssize_t got = recv(connection, buffer.data(), buffer.size(), 0);
    if (got <= 0) return "";
    request.append(buffer.data(), static_cast<std::size_t>(got));
    const std::size_t head = request.find("\r\n\r\n");
    if (head == std::string::npos || whole != std::string::npos) continue;
    const std::string_view name = "Content-Length: ";
    const std::size_t length = request.find(name);
    whole = head + 4 +
            (length == std::string::npos ? 0 : std::stoul(request.substr(length + name.size())));
  }
  return request;
}

}  // namespace

FakeBroker::FakeBroker(std::string socket_path) : path_(std::move(socket_path)) {
  Start();
}

FakeBroker::~FakeBroker() {
  Stop();
}

void FakeBroker::Start() {
  const std::string directory = path_.substr(0, path_.rfind('/'));
  (void)mkdir(directory.c_str(), 0700);
  listener_ = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(path_.size(), sizeof address.sun_path);
  memcpy(&address.sun_path[0], path_.c_str(), path_.size() + 1);
  ASSERT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
      << path_ << ": " << errno;
  ASSERT_EQ(listen(listener_.get(), 64), 0) << errno;
  acceptor_ = std::thread([this] { Accept(); });
}

void FakeBroker::Stop() {
  if (!acceptor_.joinable()) return;
  (void)unlink(path_.c_str());
  (void)shutdown(listener_.get(), SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int connection : connections_) (void)shutdown(connection, SHUT_RDWR);
  }
  for (std::thread& server : servers_) server.join();
  servers_.clear();
  const std::lock_guard lock(mutex_);
  for (const int connection : connections_) (void)close(connection);
  connections_.clear();
  followers_.clear();
  listener_.Reset();
}

void FakeBroker::Accept() {
  for (;;) {
    const int connection = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    {
      const std::lock_guard lock(mutex_);
      connections_.push_back(connection);
    }
    servers_.emplace_back([this, connection] { Serve(connection); });
  }
}

void FakeBroker::Serve(int connection) {
  const std::string request = ReadRequest(connection);
  if (request.empty()) return;
  std::istringstream head(request);
  std::string method;
  std::string target;
  head >> method >> target;
  if (target.find("follow=1") != std::string::npos) {
    const std::lock_guard lock(mutex_);
    SendAll(connection, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    std::string list;
    for (const std::string& id : order_) {
      if (asks_.contains(id)) list += asks_[id].dump() + "\n";
    }
    if (!list.empty()) SendAll(connection, Chunk(list));
    followers_.push_back(connection);
    return;
  }
  const Reply reply = Respond(method, target, request.substr(request.find("\r\n\r\n") + 4));
  const std::string body = reply.body.dump() + "\n";
  SendAll(connection, "HTTP/1.1 " + std::to_string(reply.status) + " x\r\nContent-Length: " +
                          std::to_string(body.size()) + "\r\n\r\n" + body);
  (void)shutdown(connection, SHUT_WR);
}

FakeBroker::Reply FakeBroker::Respond(const std::string& method, const std::string& target,
                                      const std::string& body) {
  constexpr std::string_view kPrefix = "/v1/approvals/";
  Received received{.id = target.substr(kPrefix.size()), .preview = false, .body = {}};
  std::function<Reply(const Received&)> answer;
  {
    const std::lock_guard lock(mutex_);
    if (method == "GET") {
      if (!whole_.contains(received.id)) return {404, {{"error", {{"what", "there is no ask"}}}}};
      return {200, whole_[received.id]};
    }
    const std::size_t slash = received.id.find('/');
    received.preview = slash != std::string::npos;
    received.id = received.id.substr(0, slash);
    received.body = json::parse(body, nullptr, false);
    received_.push_back(received);
    answer = answer_;
  }
  return answer ? answer(received) : Reply{};
}

void FakeBroker::Put(const json& ask) {
  Put(ask, ask);
}

void FakeBroker::Put(const json& ask, const json& whole) {
  const std::lock_guard lock(mutex_);
  const std::string id = ask["id"];
  if (!asks_.contains(id)) order_.push_back(id);
  asks_[id] = ask;
  whole_[id] = whole;
  for (const int follower : followers_) SendAll(follower, Chunk(ask.dump() + "\n"));
}

void FakeBroker::Answer(std::function<Reply(const Received&)> answer) {
  const std::lock_guard lock(mutex_);
  answer_ = std::move(answer);
}

std::vector<FakeBroker::Received> FakeBroker::received() const {
  const std::lock_guard lock(mutex_);
  return received_;
}

}  // namespace cellrun::test
