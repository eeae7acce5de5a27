// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "lib/base/unique_fd.h"
#include "tests/support/server.h"

namespace cellrun::test {

// A DNS server outside of every cell, over UDP and TCP on the same port, that remembers what it was
// asked for. It says what it is told to, true or not.
class NameServer {
 public:
  struct Question {
    std::string name;
    std::uint16_t type = 0;
    std::size_t id = 0;
    std::string wire;  // the question section
    bool stream = false;
  };
  // The message to send back; "" for silence.
  using Script = std::function<std::string(const Question& question)>;
  // Of either family, by name.
  using Addresses = std::map<std::string, std::vector<std::string>>;

  explicit NameServer(Addresses addresses);
  // Over UDP only, on a socket that is bound.
  NameServer(Addresses addresses, UniqueFd bound);
  explicit NameServer(Script script, const std::string& address = "127.0.0.1",
                      std::uint16_t port = 0);
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  [[nodiscard]] std::string address() const;
  [[nodiscard]] std::uint16_t port() const { return port_; }
  std::set<std::string> asked();
  void Forget();

  // What a script may answer. Addresses of other families than was asked for are left out.
  static std::string Answer(const Question& question, const std::vector<std::string>& addresses,
                            std::size_t ttl_seconds = 60);
  static std::string Alias(const Question& question, const std::string& to);
  static std::string NoSuchName(const Question& question);

 private:
  NameServer(Script script, const std::string& address, SocketsOfOnePort sockets);
  std::string AnswerTo(std::string_view query, bool stream);
  void TakeDatagrams();
  void Serve(int fd);

  const Script script_;
  const std::string host_ = "127.0.0.1";
  std::mutex mutex_;
  std::set<std::string> asked_;  // guarded by mutex_
  std::atomic<bool> stopping_{false};
  std::optional<Server> streams_;
  UniqueFd datagrams_;
  const std::uint16_t port_;
  std::thread thread_;
};

using Addresses = NameServer::Addresses;

}  // namespace cellrun::test
