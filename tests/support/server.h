// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>

#include "lib/base/unique_fd.h"

namespace cellrun::test {

// A socket bound to an address (and a port of its own where none is named), and the port that one
// is bound to.
UniqueFd BoundSocket(int type, const std::string& address, std::uint16_t port = 0);
std::uint16_t PortOf(const UniqueFd& bound);

struct SocketsOfOnePort {
  UniqueFd stream, datagrams;
};
SocketsOfOnePort BoundSockets(const std::string& address, std::uint16_t port = 0);

// A TCP server outside of every cell: each connection is served by a thread of its own until
// `serve` returns; without one it is closed at once. The destructor shuts down what is open and
// waits for them.
class Server {
 public:
  using Serve = std::function<void(int fd)>;
  // `port` 0: one of its own. Fails the running test when it cannot listen.
  explicit Server(Serve serve, const std::string& address = "127.0.0.1", std::uint16_t port = 0);
  // On a socket that is bound.
  Server(Serve serve, UniqueFd bound);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string port_text() const { return std::to_string(port_); }
  // How many connections it has taken.
  [[nodiscard]] int accepted() const { return accepted_; }

  // What it may do with them.
  static void Echo(int fd);
  static Serve Say(const std::string& text);  // and closes

 private:
  struct Served {
    UniqueFd fd;
    std::thread thread;
  };
  void Run();

  const Serve serve_;
  std::uint16_t port_ = 0;  // before what finds it out
  UniqueFd listener_;
  std::atomic<int> accepted_{0};
  std::mutex mutex_;
  std::list<Served> served_;  // guarded by mutex_
  std::thread thread_;
};

// Takes datagrams, and sends them back to whom they came from if it is to.
class DatagramServer {
 public:
  enum class Manner { kSilent, kEcho };
  explicit DatagramServer(Manner manner = Manner::kSilent, const std::string& address = "127.0.0.1",
                          std::uint16_t port = 0);
  ~DatagramServer();
  DatagramServer(const DatagramServer&) = delete;
  DatagramServer& operator=(const DatagramServer&) = delete;

  [[nodiscard]] std::uint16_t port() const { return port_; }
  [[nodiscard]] std::string port_text() const { return std::to_string(port_); }
  // How many have come; those that had arrived when it is called are among them.
  [[nodiscard]] int received();

 private:
  void Run();
  void TakeAll();  // mutex_ is held

  const Manner manner_;
  const UniqueFd fd_;
  const std::uint16_t port_;
  std::mutex mutex_;
  int received_ = 0;  // guarded by mutex_
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// A port of 127.0.0.1 on which nobody listens.
class ClosedPort {
 public:
  ClosedPort();
  [[nodiscard]] std::string text() const { return std::to_string(port_); }

 private:
  UniqueFd held_;  // bound, not listening
  const std::uint16_t port_;
};

}  // namespace cellrun::test
