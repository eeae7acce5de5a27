// SPDX-License-Identifier: Apache-2.0
#include "tests/support/server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

namespace cellrun::test {
namespace {

UniqueFd Bound(const std::string& address, std::uint16_t* port) {
  sockaddr_storage storage{};
  auto* four = reinterpret_cast<sockaddr_in*>(&storage);
  auto* six = reinterpret_cast<sockaddr_in6*>(&storage);
  const bool is_four = inet_pton(AF_INET, address.c_str(), &four->sin_addr) == 1;
  const int six_read = is_four ? 1 : inet_pton(AF_INET6, address.c_str(), &six->sin6_addr);
  EXPECT_EQ(six_read, 1) << address;
  storage.ss_family = is_four ? AF_INET : AF_INET6;
  socklen_t size = is_four ? sizeof *four : sizeof *six;
  UniqueFd fd(socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(bind(fd.get(), reinterpret_cast<sockaddr*>(&storage), size), 0) << address;
  EXPECT_EQ(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&storage), &size), 0);
  *port = ntohs(four->sin_port);  // at the same place in both
  return fd;
}

}  // namespace

Server::Server(Serve serve, const std::string& address)
    : serve_(std::move(serve)), listener_(Bound(address, &port_)) {
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

ClosedPort::ClosedPort() : held_(Bound("127.0.0.1", &port_)) {}

}  // namespace cellrun::test
