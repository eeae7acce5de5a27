// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "lib/base/unique_fd.h"

namespace cellrun::test {

// The approvals routes of docs/api.md on a socket, with nothing behind them: for what a real broker
// cannot be made to say at the moment that a test needs.
class FakeBroker {
 public:
  struct Received {
    std::string id;
    bool preview = false;
    nlohmann::json body;
  };
  struct Reply {
    int status = 200;
    nlohmann::json body = nlohmann::json::object();
  };

  explicit FakeBroker(std::string socket_path);
  FakeBroker(const FakeBroker&) = delete;
  FakeBroker& operator=(const FakeBroker&) = delete;
  ~FakeBroker();

  void Stop();  // every connection ends and the socket is gone
  void Start();
  // An ask that came or changed: followers are told. `whole`: what GET /v1/approvals/ID says.
  void Put(const nlohmann::json& ask);
  void Put(const nlohmann::json& ask, const nlohmann::json& whole);
  void Drop(const std::string& id) { asks_.erase(id); }
  // What POST is answered with from now on.
  void Answer(std::function<Reply(const Received& received)> answer);
  [[nodiscard]] std::vector<Received> received() const;

 private:
  void Accept();
  void Serve(int connection);
  Reply Respond(const std::string& method, const std::string& target, const std::string& body);

  const std::string path_;
  mutable std::mutex mutex_;
  UniqueFd listener_;
  std::thread acceptor_;
  std::list<std::thread> servers_;
  std::vector<int> connections_;  // all of them, closed by Stop
  std::vector<int> followers_;
  std::map<std::string, nlohmann::json> asks_, whole_;
  std::vector<std::string> order_;
  std::function<Reply(const Received&)> answer_;
  std::vector<Received> received_;
};

}  // namespace cellrun::test
