// SPDX-License-Identifier: Apache-2.0
#include "tests/support/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace cellrun::test {

namespace {

// 0, or what bind says.
int Bind(int type, const std::string& address, std::uint16_t port, UniqueFd* bound) {
  sockaddr_storage storage{};
  auto* four = reinterpret_cast<sockaddr_in*>(&storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
  const bool is_four = inet_pton(AF_INET, address.c_str(), &four->sin_addr) == 1;
  const int six_read = is_four ? 1 : inet_pton(AF_INET6, address.c_str(), &six->sin6_addr);
  EXPECT_EQ(six_read, 1) << address;
  storage.ss_family = is_four ? AF_INET : AF_INET6;
  four->sin_port = htons(port);  // at the same place in both
  socklen_t size = is_four ? sizeof *four : sizeof *six;
  bound->Reset(socket(storage.ss_family, type | SOCK_CLOEXEC, 0));
  constexpr int kOn = 1;
  if (port != 0) (void)setsockopt(bound->get(), SOL_SOCKET, SO_REUSEADDR, &kOn, sizeof kOn);
  return bind(bound->get(), reinterpret_cast<sockaddr*>(&storage), size) == 0 ? 0 : errno;
}

}  // namespace

UniqueFd BoundSocket(int type, const std::string& address, std::uint16_t port) {
  UniqueFd fd;
  EXPECT_EQ(Bind(type, address, port, &fd), 0) << address;
  return fd;
}

SocketsOfOnePort BoundSockets(const std::string& address, std::uint16_t port) {
  constexpr int kTries = 100;
  SocketsOfOnePort sockets;
  int code = EADDRINUSE;
  // The kernel picks a port that is free for one protocol; the other's may be somebody's.
  for (int tried = 0; code == EADDRINUSE && tried < kTries; ++tried) {
    sockets.stream = BoundSocket(SOCK_STREAM, address, port);
    code = Bind(SOCK_DGRAM, address, PortOf(sockets.stream), &sockets.datagrams);
  }
  EXPECT_EQ(code, 0) << address;
  return sockets;
}

std::uint16_t PortOf(const UniqueFd& bound) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  EXPECT_EQ(getsockname(bound.get(), reinterpret_cast<sockaddr*>(&storage), &size), 0);
  return ntohs(reinterpret_cast<sockaddr_in*>(&storage)->sin_port);  // at the same place in IPv6
}

Server::Server(Serve serve, const std::string& address, std::uint16_t port)
    : Server(std::move(serve), BoundSocket(SOCK_STREAM, address, port)) {}

Server::Server(Serve serve, UniqueFd bound)
    : serve_(std::move(serve)), port_(PortOf(bound)), listener_(std::move(bound)) {
  EXPECT_EQ(listen(listener_.get(), SOMAXCONN), 0);
  thread_ = std::thread([this] { Run(); });
}

Server::~Server() {
  (void)shutdown(listener_.get(), SHUT_RDWR);  // accept returns EINVAL
  thread_.join();
  for (Served& served : served_) {
    {
      const std::lock_guard lock(mutex_);
      if (served.fd.valid()) (void)shutdown(served.fd.get(), SHUT_RDWR);
    }
    served.thread.join();
  }
}

void Server::Run() {
  for (;;) {
    UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd.valid()) return;
    ++accepted_;
    if (!serve_) continue;
    const std::lock_guard lock(mutex_);
    Served& served = served_.emplace_back();
    served.fd = std::move(fd);
    served.thread = std::thread([this, &served, number = served.fd.get()] {
      serve_(number);
      const std::lock_guard end(mutex_);
      served.fd.Reset();
    });
  }
}

void Server::Echo(int fd) {
  std::array<char, 64UL * 1024> bytes{};
  for (;;) {
    const ssize_t got = recv(fd, bytes.data(), bytes.size(), 0);
    if (got <= 0) return;
    for (ssize_t sent = 0; sent < got;) {
      const ssize_t now =
          send(fd, bytes.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
      if (now <= 0) return;
      sent += now;
    }
  }
}

Server::Serve Server::Say(const std::string& text) {
  return [text](int fd) { (void)send(fd, text.data(), text.size(), MSG_NOSIGNAL); };
}

DatagramServer::DatagramServer(Manner manner, const std::string& address, std::uint16_t port)
    : manner_(manner), fd_(BoundSocket(SOCK_DGRAM, address, port)), port_(PortOf(fd_)) {
  thread_ = std::thread([this] { Run(); });
}

DatagramServer::~DatagramServer() {
  stop_ = true;
  thread_.join();
}

void DatagramServer::Run() {
  while (!stop_) {
    pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, 20) != 1) continue;
    const std::lock_guard lock(mutex_);
    TakeAll();
  }
}

void DatagramServer::TakeAll() {
  std::array<char, 2048> bytes{};
  for (;;) {
    sockaddr_storage from{};
    socklen_t size = sizeof from;
    auto* peer = reinterpret_cast<sockaddr*>(&from);
    const ssize_t got = recvfrom(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT, peer, &size);
    if (got < 0) return;
    ++received_;
    if (manner_ == Manner::kEcho)
      (void)sendto(fd_.get(), bytes.data(), static_cast<std::size_t>(got), 0, peer, size);
  }
}

int DatagramServer::received() {
  const std::lock_guard lock(mutex_);
  TakeAll();
  return received_;
}

ClosedPort::ClosedPort() : held_(BoundSocket(SOCK_STREAM, "127.0.0.1")), port_(PortOf(held_)) {}

}  // namespace cellrun::test
