// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "broker/loop/loop.h"
#include "broker/net/message/message.h"
#include "lib/base/unique_fd.h"

namespace cellrun::net {

// One question to the servers in turn, twice around, until one answers it: each time over a new
// socket with a port and an id that cannot be foreseen, over TCP where the answer was truncated.
// What does not answer this very question is as if it had not come. On the loop's thread; `done` is
// called once, unless the Exchange is destroyed before, which it may be by `done`.
class Exchange {
 public:
  struct Settings {
    std::vector<Endpoint> servers;
    std::chrono::milliseconds try_time{1'500};
    std::function<void(const Endpoint&)> on_silent = nullptr;  // a server let a try's time pass
  };
  // Nothing usable: EBADMSG, ETIMEDOUT, ECONNREFUSED, … of the last server; EREMOTEIO for one that
  // said that it cannot.
  using Done = std::function<void(Result<Response>)>;

  Exchange(loop::Loop& loop, Settings settings, std::string name, std::uint16_t type, Done done);
  void Start();
  // Whom it is asking or asked last; nobody where there are no servers.
  [[nodiscard]] const Endpoint* server() const;

 private:
  void Ask(bool stream);
  [[nodiscard]] Result<void> Open(bool stream);
  void Next(int code);
  void TakeDatagram();
  void StartStream();
  void TakeStream();
  // Whether it was for this question.
  bool Judge(std::string_view bytes);
  void Finish(Result<Response> result);
  void Close();

  loop::Loop& loop_;
  const Settings settings_;
  const std::string name_;
  const std::uint16_t type_;
  Done done_;
  std::uint16_t id_ = 0;
  std::size_t tried_ = 0, strangers_ = 0;
  std::string received_;
  UniqueFd socket_;
  std::unique_ptr<loop::Loop::Watch> watch_;
  std::unique_ptr<loop::Loop::Timer> deadline_;
};

}  // namespace cellrun::net
